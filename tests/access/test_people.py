"""People at a broker whose accounts are the manager's: in, let do what they may, and cut off."""

import asyncio
import json
import re
import shlex
import shutil
import ssl
import stat
import subprocess
from http.cookies import SimpleCookie
from pathlib import Path

from aiohttp import ClientSession, CookieJar, TCPConnector

from fleet.mqtt import Broker, Disconnected, Filter, Link, Message, Refused, Will, connect_once
from fleet.topics import Topics
from tests.access.conftest import Server
from tests.processes import run

SAID = "korrekt-pferd"
TOPICS = Topics()


class Person:
    """A connection to the broker, as any client makes one."""

    def __init__(self, broker: Broker, client_id: str = "any") -> None:
        self._link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.connection = asyncio.ensure_future(connect_once(broker, client_id, self))

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        """Nothing is listened to."""

    async def connected(self, link: Link) -> None:
        self._link.set_result(link)
        await asyncio.Event().wait()

    def disconnected(self, why: str) -> None:
        """`connect_once` says so itself."""

    async def leave(self) -> None:
        self.connection.cancel()
        await asyncio.wait([self.connection])

    async def may(self, topic: str, *, listen: bool = False) -> bool:
        """Whether the broker lets them write there, or listen."""
        link = await self._link
        try:
            await (link.subscribe(Filter(topic)) if listen else link.publish(topic, b"{}"))
        except Refused:
            return False
        return True


async def may(broker: Broker, topic: str, *, listen: bool = False) -> bool:
    """The same, on a connection for nothing else."""
    person = Person(broker)
    try:
        return await person.may(topic, listen=listen)
    finally:
        await person.leave()


def types(
    server: Server, home: Path, *words: str, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    """What `fleet` says to whoever has this home."""
    env = {**server.env, "XDG_CONFIG_HOME": str(home)}
    return run("fleet", *words, env=env, stdin=stdin)


async def test_a_volunteer_comes_in_does_what_they_may_and_is_cut_off(
    server: Server, tmp_path: Path
) -> None:
    await server.start()
    first, home = Path(server.env["XDG_CONFIG_HOME"]), tmp_path / "vera"

    # The first operator gives themself a password, and goes on with it.
    done = types(server, first, "user", "passwd", stdin=f"{SAID}-1\n")
    assert done.returncode == 0, done.stderr
    listed = json.loads(types(server, first, "user", "--json").stdout)
    me = listed["you"]
    assert [(one["name"], one["rights"]) for one in listed["users"]] == [(me, "admin")]

    # Whoever they add gets a line to type, and nobody can stand in between.
    made = types(server, first, "user", "add", "vera", "--rights", "viewer", stdin=f"{SAID}\n")
    assert made.returncode == 0, made.stderr
    found = re.search(r"they type: fleet (login .*)", made.stderr)
    assert found
    words = shlex.split(found[1])
    assert words[:2] == ["login", server.url]
    wrong = [*words[:-3], "0" * 64, *words[-2:]]
    refused = types(server, home, *wrong, stdin=f"{SAID}\n")
    assert (refused.returncode, "is of another authority" in refused.stderr) == (2, True)
    refused = types(server, home, *words, stdin="not-the-password\n")
    assert refused.returncode == 4
    assert not (home / "fleet").exists()
    done = types(server, home, *words, stdin=f"{SAID}\n")
    assert done.returncode == 0, done.stderr
    assert {stat.filemode(one.stat().st_mode) for one in (home / "fleet").iterdir()} == {
        "-rw-------"
    }
    status = types(server, home, "status")
    assert status.returncode in (0, 3), status.stderr
    denied = types(server, home, "talk", "hall1", "on")
    assert f"{me} can change that: fleet user add vera" in denied.stderr

    # What their account does not say, the broker does not let them do.
    broker = Broker.parse(server.url, "vera", SAID, str(home / "fleet/127.0.0.1-ca.pem"))
    command = TOPICS.command("b827eb0000a1", "vera", "station", "look")
    for listened in ("#", TOPICS.manager("request", "+", "+"), TOPICS.manager("reply", me)):
        assert not await may(broker, listened, listen=True), listened
    for topic in (
        command,
        TOPICS.config("b827eb0000a1"),
        TOPICS.manager("request", me, "user_list"),
        TOPICS.manager("presence"),
        "$CONTROL/dynamic-security/v1",
    ):
        assert not await may(broker, topic), topic
    assert await may(broker, TOPICS.manager("request", "vera", "status"))

    # Other rights are there at once; who is removed is cut off, and everywhere.
    done = types(server, first, "user", "add", "vera", "--rights", "operator")
    assert done.returncode == 0, done.stderr
    vera = Person(broker)
    assert await vera.may(command)
    url = f"https://127.0.0.1:{server.http}"
    trust = ssl.create_default_context(cafile=str(server.dir / "ca.pem"))
    async with ClientSession(
        connector=TCPConnector(ssl=trust), cookie_jar=CookieJar(unsafe=True)
    ) as browser:
        form = {"name": "vera", "password": SAID, "next": ""}
        async with browser.post(f"{url}/signin", data=form, allow_redirects=False) as answer:
            assert SimpleCookie(answer.headers["Set-Cookie"])["fleet_session"]["secure"]
        async with browser.get(f"{url}/rooms.json") as answer:
            assert answer.status == 200
        done = await asyncio.to_thread(types, server, first, "user", "remove", "vera")
        await asyncio.wait([vera.connection], timeout=60)
        async with browser.get(f"{url}/rooms.json") as answer:
            assert answer.status == 401
    assert done.returncode == 0, done.stderr
    assert isinstance(vera.connection.exception(), Disconnected)
    assert types(server, home, "status").returncode == 4
    again = types(server, first, "user", "remove", "vera")
    assert "'vera' is not in the list of people" in again.stderr  # nor does the broker know her

    # The only admin has lost password and client file: whoever may do all on the server helps.
    shutil.rmtree(first / "fleet")
    assert types(server, first, "status").returncode == 4
    recover = ("recover", "--dir", str(server.dir))
    with_file = {**server.env, "XDG_CONFIG_HOME": str(first)}
    done = await asyncio.to_thread(run, "fleet-manager", *recover, env=with_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{me} is an admin, with a new password" in done.stdout
    kept = first / "fleet/fleet-recovered.password"
    assert kept.stat().st_mode & 0o777 == 0o600
    listed = json.loads(types(server, first, "user", "--json").stdout)
    assert [(one["name"], one["rights"], one["by"]) for one in listed["users"]] == [
        (me, "admin", "manager")
    ]
    done = types(server, first, "user", "add", "manager", "--rights", "admin", stdin=f"{SAID}\n")
    assert "'manager' cannot name a person" in done.stderr
    # Nobody else comes in so.
    (server.dir / "manager.password").write_text("another\n")
    done = await asyncio.to_thread(run, "fleet-manager", *recover, env=with_file)
    assert (done.returncode, "does not let in the user 'manager'" in done.stderr) == (1, True)
