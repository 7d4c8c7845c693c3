"""`fleet user` and `fleet login` against a real manager, and what each right is worth there."""

import json
import re
import stat
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from http.cookiejar import CookieJar
from typing import Any

import pytest

from tests.cli.conftest import Fleet
from tests.manager.station import apply, ask
from tests.page.stage import conference
from tests.processes import Program, Programs
from tests.stranger import Stranger

ROOMS: dict[str, tuple[str, ...]] = {"hall1": ("cam",), "hall2": ("cam",)}
ROOT = {"FLEET_USERNAME": "root"}
SAID = "korrekt-pferd"
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("status", {}),
    ("talk", {"room": "hall1", "talk": "on"}),
    ("maintenance", {"target": "hall1-cam", "on": True}),
    ("mark", {"room": "hall1", "kind": "cut"}),
    ("stop", {"station": "hall1-cam", "role": "record"}),
    ("talk", {"room": "hall2", "talk": "on"}),
    ("maintenance", {"target": "hall2", "on": True}),
    ("maintenance", {"target": "hall2-cam", "on": True}),
    ("stop", {"station": "hall2-cam", "role": "record"}),
    ("start", {"station": "b827eb000201", "role": "record"}),
    ("apply", {"text": conference(ROOMS), "name": "x"}),
    ("retire", {"station": "hall2-cam"}),
    ("user_remove", {"name": "nobody"}),
    (
        "call",
        {"station": "hall1-cam", "role": "station", "command": "credential", "arguments": {}},
    ),
]
ALLOWED = {"eve": 0, "vera": 1, "ann": 5, "olaf": 12, "root": 14}
"""How many of these each may ask for, in this order. eve is not in the list."""


@pytest.fixture
async def people(fleet: Fleet, manager: Program, stranger: Stranger) -> None:
    """One of each right, in a conference of two rooms."""
    await apply(stranger, conference(ROOMS))
    for name, rights in (("vera", "viewer"), ("ann", "room:hall1"), ("olaf", "operator")):
        words = ("user", "add", name, "--rights", rights)
        added = await fleet(*words, env=ROOT, stdin=f"{SAID}\n")
        assert added.code == 0, added.err
        assert f"{name} has the rights {rights}" in added.err


def page(manager: Program) -> str:
    found = re.search(r"serving (http://\S+)/metrics", manager.log())
    assert found
    return found[1]


async def test_each_may_do_what_their_rights_say_over_mqtt_and_on_the_page(
    people: None, fleet: Fleet, manager: Program, stranger: Stranger
) -> None:
    for name, count in ALLOWED.items():
        errors = []
        for operation, arguments in ASKED:
            reply = await ask(stranger, operation, caller=name, **arguments)
            errors.append((reply["error"] or {}).get("type"))
        assert errors[count:] == ["Forbidden"] * (len(ASKED) - count), (name, errors)
        assert "Forbidden" not in errors[:count], (name, errors)

    refused = await ask(stranger, "talk", caller="ann", room="hall2", talk="on")
    assert refused["error"]["message"] == (
        "ann may not do that in hall2: it wants the rights room:hall2, and ann has room:hall1; "
        "root can change that: fleet user add ann --rights room:hall1,hall2"
    )
    told = await fleet("talk", "hall2", "on", env={"FLEET_USERNAME": "ann"})
    assert (told.code, refused["error"]["message"] in told.err) == (2, True)

    url, jar = page(manager), CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    form = urllib.parse.urlencode({"name": "ann", "password": SAID, "next": ""}).encode()
    browser.open(f"{url}/signin", form).close()
    with browser.open(f"{url}/who") as answer:
        who = json.load(answer)
    assert (who["name"], who["rights"]) == ("ann", "room:hall1")

    def do(room: str) -> Any:
        asked = json.dumps({"room": room, "talk": "off"}).encode()
        headers = {"Content-Type": "application/json", "X-Fleet-Proof": who["proof"]}
        request = urllib.request.Request(f"{url}/do/talk", asked, headers)  # noqa: S310
        try:
            with browser.open(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    status, reply = do("hall1")
    assert (status, reply["result"]["state"]) == (200, "off")
    status, reply = do("hall2")
    assert (status, reply["error"]["type"]) == (403, "Forbidden")

    removed = await fleet("user", "remove", "ann", env=ROOT)
    assert removed.code == 0
    with pytest.raises(urllib.error.HTTPError) as caught:
        browser.open(f"{url}/rooms.json")
    with caught.value as error:
        assert error.code == 401


async def test_the_list_and_its_history_say_who_and_no_password_is_anywhere(
    people: None, fleet: Fleet, manager: Program, stranger: Stranger, programs: Programs
) -> None:
    made = await fleet("user", "add", "bob", "--rights", "viewer", "--generate", env=ROOT)
    said = made.out.strip()
    assert re.fullmatch(r"([a-z2-9]{4}-){3}[a-z2-9]{4}", said)
    again = await fleet("user", "add", "bob", "--rights", "operator", env=ROOT)
    assert (again.code, again.out) == (0, "")
    listed = await fleet("user", env={"FLEET_USERNAME": "bob"})
    rows = [line.split()[:3] for line in listed.lines[1:]]
    assert ["ann", "room:hall1", "yes"] in rows
    assert ["bob", "operator", "yes"] in rows
    assert ["root", "admin", "no"] in rows
    told = (await fleet("history", env=ROOT)).out
    for line in ("bob is viewer", "bob is operator, was viewer", "root is admin, who begins"):
        assert re.search(rf"user .* root +{line}", told), told

    assert [one for one in stranger.heard if one.topic.endswith("/root/user_add")]
    for known in (SAID, said):
        places = [manager.log(), told, *(one.payload.decode("latin-1") for one in stranger.heard)]
        assert not [one for one in places if known in one]
        for file in programs.directory.rglob("manager.sqlite*"):
            with suppress(FileNotFoundError):  # a journal comes and goes
                assert known.encode() not in file.read_bytes(), file


WRONG = [
    (("add", "bob", "--rights", "root"), SAID, "'root' are no rights; expected viewer"),
    (("add", "bob", "--rights", "viewer"), "short", "8 to 200 characters, this one has 5"),
    (("add", "bob", "--rights", "viewer"), "", "no password came on standard input"),
    (("add", "bob"), SAID, "fleet user add bob --rights viewer|room:NAME|operator|admin"),
    (("add",), SAID, "whom?"),
    (("add", "manager", "--rights", "viewer"), SAID, "the manager uses it itself"),
    (("add", "Olaf", "--rights", "viewer"), SAID, "'olaf' is in the list"),
    (("add", "b827eb000101", "--rights", "viewer"), SAID, "it is the id of a station"),
    (("add", "root", "--rights", "viewer"), "", "nobody would be left who can say"),
    (("remove", "root"), "", "nobody would be left who can say"),
    (("remove", "olav"), "", "'olav' is not in the list of people (did you mean 'olaf'?)"),
    (("passwd", "olav"), SAID, "did you mean 'olaf'"),
]


async def test_what_cannot_be_is_said_and_changes_nothing(people: None, fleet: Fleet) -> None:
    before = (await fleet("user", env=ROOT)).out
    for words, stdin, said in WRONG:
        told = await fleet("user", *words, env=ROOT, stdin=f"{stdin}\n" if stdin else "")
        assert told.code == 2
        assert said in told.err
    assert (await fleet("user", env=ROOT)).out == before


async def test_who_logs_in_is_known_from_then_on(
    people: None, fleet: Fleet, programs: Programs
) -> None:
    url = fleet.environment({})["FLEET_BROKER"]
    told = await fleet("login", url, "--name", "ann", stdin=f"{SAID}\n")
    assert told.code == 0, told.err
    assert "you are ann" in told.err
    assert "with the rights room:hall1" in told.err
    home = programs.directory / "home/.config/fleet"
    assert {one.name: stat.filemode(one.stat().st_mode) for one in home.iterdir()} == {
        "config.toml": "-rw-------",
        "127.0.0.1.password": "-rw-------",
    }
    nothing = {"FLEET_BROKER": "", "FLEET_USERNAME": ""}
    assert '"you":"ann"' in (await fleet("user", "--json", env=nothing)).out
    nobody = await fleet("login", url, "--name", "eve", "--json", stdin=f"{SAID}\n")
    assert nobody.code == 2
    assert "eve is not in the list of people; root can change that" in nobody.err
    assert '"you":"ann"' in (await fleet("user", "--json", env=nothing)).out
