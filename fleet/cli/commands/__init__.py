"""The commands of `fleet`: a file for each, and here what each is for."""

from collections.abc import Mapping
from typing import Final

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "See how it is": {
        "status": "Show what every station does, those that need you first.",
        "watch": "Show what happens, a line each, until Ctrl-C.",
        "logs": "Show what the instances of a station wrote last.",
        "check": "Have every box look at its own work; the worst comes first.",
        "doctor": "Look for what needs fixing, and say how.",
    },
    "Change what is wanted": {
        "validate": "Say what is wrong with a conference file, changing nothing.",
        "plan": "Show what applying a conference file would change.",
        "apply": "Make the stations do what a conference file says.",
        "wait": "Wait until every station does what is wanted of it.",
        "rollout": "Show the running rollout, or the last one; stop it.",
        "rollback": "Put back what was wanted before, of one station or of all.",
    },
    "Look back": {
        "recordings": "Show what was recorded of each talk, and what is missing.",
        "receipt": "Say whether a talk was recorded whole, and plays.",
        "cutlist": "List the files of each talk with in and out points, to cut from.",
        "history": "Show who changed what; of one station, all that happened.",
        "show": "Show what is wanted of a station, or once was.",
        "diff": "Show what changed from one revision of a station to another.",
        "export": "Print a conference file of what is wanted now.",
    },
    "Rooms": {
        "mark": "Say where a recording begins, ends or is to be cut.",
        "schedule": "Show the talks of the rooms; check a schedule before it is used.",
        "cut": "Have a room's mixer show other sources.",
        "audio": "Take the sound of a room's mixer from another source.",
        "blank": "Blank a room's stream: black and silence leave.",
        "live": "Show a room's program on its stream again.",
        "talk": "Say whether a talk is on: then silence and black are alarms.",
        "ack": "Say that you are seeing to a room, so that nobody else is called.",
        "notify": "Send a text to those who are called, to see that it arrives.",
        "maintenance": "Say that somebody works on a room or box: nobody is called.",
    },
    "Boxes that join": {
        "token": "Print the line that lets a new box in.",
        "waiting": "Show the boxes that wait to be let in.",
        "approve": "Let a box in that waits, by the code it shows.",
        "revoke": "Cut a station off at once; only a token lets it back in.",
        "rotate": "Give stations new credentials, without a gap.",
    },
    "Stations": {
        "call": "Send a command to a role that runs on a station, or to the box.",
        "stop": "Keep something on a station stopped, and say so to everybody.",
        "start": "Let something run again that somebody has stopped.",
        "restart": "Stop what runs on a station and start it again.",
        "roles": "Explain what stations can run: settings, types, defaults.",
        "secret": "Set the keys and passwords of stations; show which there are.",
        "devices": "Show the capture devices of stations, as the file names them.",
        "adopt": "Take what a station runs as what is wanted of it.",
        "retire": "Forget stations that are gone for good.",
    },
    "People": {
        "login": "Sign in to a fleet once, so that no command has to ask.",
        "user": "Say who may do what.",
    },
}
"""Heading -> command -> a sentence, as `fleet --help` shows them."""
COMMANDS: Final = {name: about for group in GROUPS.values() for name, about in group.items()}


def with_examples(about: str, *examples: str) -> str:
    """A help text that leads with examples."""
    return "\n".join(("\b", "Examples:", *(f"  {one}" for one in examples), "", about))
