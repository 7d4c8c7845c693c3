"""What `fleet` can be told to do: a file a command, and here what each is for."""

from collections.abc import Mapping
from typing import Final

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "See how it is": {
        "status": "Show what every station does, those that need you first.",
        "watch": "Show what happens, a line each, until Ctrl-C.",
        "logs": "Show what the instances of a station wrote last.",
        "check": "Have every box look for itself what works, worst first.",
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
        "receipt": "Say of one talk whether it is there, and plays.",
        "cutlist": "List the files of each talk with in and out points, to cut from.",
        "history": "Show who did and changed what, or all of one station.",
        "show": "Show what is wanted of a station, or once was.",
        "diff": "Show what changed from one revision of a station to another.",
        "export": "Print a conference file of what is wanted now.",
    },
    "Rooms": {
        "mark": "Say where a recording begins, ends or is to be cut.",
        "schedule": "Show the talks of the rooms; check a schedule before it is used.",
        "cut": "Have a room's mixer show its sources otherwise.",
        "audio": "Have another source of a room's mixer heard.",
        "blank": "Blank a room's stream: black and silence leave.",
        "live": "Show a room's program on its stream again.",
        "talk": "Say whether a talk is on: then silence and black are alarms.",
        "ack": "Say that you see to a room: it calls nobody any more.",
        "notify": "Tell those who are called something, to know that it arrives.",
        "maintenance": "Say that somebody works there: no alert calls anybody.",
    },
    "Boxes that join": {
        "token": "Print the line that lets a new box in.",
        "waiting": "Show the boxes that wait for somebody's yes.",
        "approve": "Let a box in that waits, by the code it shows.",
        "revoke": "Let a station in no more, and cut it off at once.",
        "rotate": "Give stations other credentials, without a gap.",
    },
    "Stations": {
        "call": "Ask something of a role that runs on a station, or of the box.",
        "stop": "Keep something on a station stopped, and say so to everybody.",
        "start": "Let run again what somebody has stopped.",
        "restart": "Stop what runs on a station and start it again.",
        "roles": "Explain what stations can run: settings, types, defaults.",
        "secret": "Set the keys and passwords of stations; show which there are.",
        "devices": "Show the capture devices of stations, as the file names them.",
        "adopt": "Want of a station what it runs; for a retired one that is back.",
        "retire": "Want nothing more of stations, and forget them.",
    },
    "People": {
        "login": "Keep who you are to a fleet, so that no command needs it again.",
        "user": "Say who may do what.",
    },
}
"""Heading -> command -> a sentence, as `fleet --help` shows them."""
COMMANDS: Final = {name: about for group in GROUPS.values() for name, about in group.items()}


def with_examples(about: str, *examples: str) -> str:
    """A help text that leads with examples."""
    return "\n".join(("\b", "Examples:", *(f"  {one}" for one in examples), "", about))
