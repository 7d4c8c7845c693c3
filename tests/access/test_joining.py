"""A box that nobody knows comes in, on a real broker that `fleet-manager init` set up."""

import asyncio
import json
import os
import re
import sqlite3
import ssl
import struct
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import pytest

from fleet.joining import JoinAnswer, JoinRequest, JoinToken, token_user
from fleet.manager.access.authority import KeyPair, new_certificate
from fleet.mqtt import Broker, Disconnected, Filter, Link, Message, Refused, Will, connect_once
from fleet.sealed import BoxKey
from fleet.topics import Topics
from fleet.wire import decode, encode, format_time
from tests.access.conftest import Server, says
from tests.processes import until

DAY = timedelta(days=1)
CONFERENCE = """
[rooms.hall1]
[stations.cam]
id = "b1"
room = "hall1"
[stations.cam.roles.record.main]
source = {type = "test", size = "64x64", rate = 5}
segment_seconds = 60
"""


async def test_a_box_joins_records_is_rotated_and_revoked(server: Server) -> None:
    await server.start()
    token = await server.token("--room", "hall1", "--uses", "1")
    joining = server.join(token, "b1", "--station", "b1")
    await says(joining, "this box is let in as station b1")
    assert await joining.ended() == 0
    state = server.box("b1") / "state"
    kept = state / "credential.json"
    for name in ("credential.json", "ca.pem", "key"):
        assert (state / name).stat().st_mode & 0o777 == 0o600
    agent = server.agent("b1")
    await agent.says("connected, as station b1")
    file = server.directory / "conference.toml"
    file.write_text(CONFERENCE)
    await server.says("apply", str(file), "--yes")
    recordings = server.box("b1") / "recordings"
    await until(lambda: list(recordings.glob("*.ts")), what="a recording")
    (recording,) = recordings.glob("*.ts")

    # The broker shows a new certificate, and nobody notices.
    place = ("127.0.0.1", server.port)
    before = await asyncio.to_thread(ssl.get_server_certificate, place)
    words = ("renew", "--now", "--dir", str(server.dir))
    assert await server.programs.start("fleet-manager", *words, name="renew").ended() == 0
    await until(lambda: ssl.get_server_certificate(place) != before, what="another certificate")
    assert agent.log().count("connected, as station b1") == 1

    # Rotated: another password at the broker, and the recording is the same one.
    first = json.loads(kept.read_text())["credential"]["password"]
    rotated = await server.ask("rotate", "cam")
    assert rotated["rotated"][0]["problem"] is None
    second = json.loads((state / "credential.next.json").read_text())["credential"]["password"]
    assert first != second
    await agent.says(r"(?s)connected, as station b1.*connected, as station b1")
    assert list(recordings.glob("*.ts")) == [recording]
    agent.kill()  # the next one begins with two, and tries the newer first
    agent = server.agent("b1", "again")
    await agent.says("connected, as station b1")
    assert "does not let in" not in agent.log()

    # Revoked: cut off within a second, and its recording runs on.
    revoked = await server.ask("revoke", "cam")
    assert revoked["id"] == "b1"
    shown = await asyncio.to_thread(server.fleet, "status", "--json")
    (seen,) = json.loads(shown.stdout)["stations"]
    assert (seen["presence"], seen["note"]) == (
        "lost",
        "not let in: it has not joined, or was cut off; fleet token prints the line to join by",
    )
    none = await asyncio.to_thread(server.fleet, "rotate", "cam")
    assert "it has not joined, or was cut off: it has none" in none.stdout + none.stderr
    await agent.says("Administrative action")
    size = recording.stat().st_size
    await until(lambda: recording.stat().st_size > size, what="more of the recording")
    await agent.says("the broker does not let in the user 'station:b1' .* was this box cut off")
    past = await server.says("history", "b1")
    for text in ("joined with token", "another credential", "is cut off"):
        assert text in past

    # Its old token is used up, and a new one lets the same box in again.
    again = server.join(token, "b1", "--station", "b1")
    await says(again, "let in 1 of 1 box; fleet token prints another line")
    assert await again.ended() == 1
    again = server.join(await server.token(), "b1", "--station", "b1")
    await says(again, "let in as station b1")
    await agent.says(r"(?s)Administrative action.*connected, as station b1")


async def test_somebody_says_yes_to_a_box_and_to_no_other(server: Server) -> None:
    await server.start()
    assert "no box waits" in (await asyncio.to_thread(server.fleet, "waiting")).stderr
    token = await server.token("--approve", "--for", "1h")
    box = server.join(token, "b2", "--station", "b2")
    twin = server.join(token, "b3", "--station", "b2")  # two boxes, one id
    for one in (box, twin):
        await one.says("waits until somebody types: fleet approve")
    codes = [re.findall(r"approve ([A-Z]{4}-[A-Z]{4})", one.log())[-1] for one in (box, twin)]
    waiting = (await server.ask("waiting"))["boxes"]
    assert {one["code"] for one in waiting} == set(codes)
    assert codes[0] in await server.says("waiting")
    status = await asyncio.to_thread(server.fleet, "status")
    assert "2 boxes wait to be let in" in status.stderr
    shown = await asyncio.to_thread(server.metrics)
    assert "\nfleet_boxes_waiting 2.0\n" in shown
    assert "\nfleet_broker_certificate_ends_timestamp_seconds " in shown
    forged = await server.says("approve", "AAAA-AAAA", code=2)
    assert "no box shows the code AAAA-AAAA" in forged
    await server.says("approve", codes[0].lower().replace("-", ""), "--name", "hall2-cam")
    await says(box, "let in as station b2")
    assert "the id b2 is another box's" in await server.says("approve", codes[1], code=2)
    await says(twin, "the id b2 is another box's")
    assert await twin.ended() == 1
    assert not (server.box("b3") / "state/credential.json").exists()
    assert (await server.ask("waiting"))["boxes"] == []

    # The manager begins anew: what it promised it knows, and who waits is asked again.
    third = server.join(token, "b4", "--station", "b4")
    await third.says("waits until somebody types")
    assert os.listdir(server.box("b4")) == ["state"], "who kills it leaves it"  # noqa: PTH208
    (seen,) = waiting_in(server)
    assert server.manager is not None
    server.manager.kill()
    with closing(sqlite3.connect(server.dir / "state/manager.sqlite")) as store, store:
        store.execute("UPDATE credential SET ends = ?", [format_time(datetime.now(UTC) + DAY)])
    await server.start_manager()
    unwell = await asyncio.to_thread(server.fleet, "status", "--json")
    (one,) = json.loads(unwell.stdout)["stations"]
    assert "CredentialEnds" in [it["kind"] for it in one["findings"]]
    agent = server.agent("b2")
    await agent.says("connected, as station b2")
    assert "hall2-cam" in (await asyncio.to_thread(server.fleet, "status")).stdout
    await until((server.box("b2") / "state/credential.next.json").exists, what="it to be renewed")
    await until(lambda: waiting_in(server), what="who waits to ask again")  # at once
    assert waiting_in(server) == [seen], "the code it shows is the same"
    assert third.log().count("waits until somebody") == 1

    # Nobody else's: before it is imaged, a box forgets who it was.
    agent.terminate()
    await agent.ended()
    state = server.box("b2") / "state"
    words = ("reset", "--yes", "--state-dir", str(state))
    assert await server.programs.start("fleet-agent", *words).ended() == 0
    assert os.listdir(state) == ["lock"]  # noqa: PTH208


def waiting_in(server: Server) -> list[str]:
    """The codes of boxes that wait."""
    said = json.loads(server.fleet("waiting", "--json").stdout)
    return [one["code"] for one in said["boxes"]]


def forge(server: Server, other: Server) -> None:
    """Give the other's broker a certificate with the server's authority in it, signed by nobody."""
    true = KeyPair((server.dir / "ca.pem").read_text(), (other.dir / "ca.key").read_text())
    forged = new_certificate(true, ["127.0.0.1"])
    (other.dir / "mosquitto/broker.pem").write_text(forged.certificate)
    (other.dir / "mosquitto/broker.key").write_text(forged.key)


WRITES = (
    *("fleet/v1/station/b1/status", "fleet/v1/station/b7/config", "fleet/v1/other"),
    *("fleet/v1/station/b7/command/x/station/info", "fleet/v1/manager/request/x/status"),
    *("fleet/v1/join/0000000000/request/x", "$CONTROL/dynamic-security/v1"),
)
LISTENS = (
    *("#", "fleet/v1/#", "fleet/v1/station/b1/config", "fleet/v1/join/+/reply/+"),
    *("$share/g/#", "$share/g/fleet/v1/station/b1/config"),
)


class Attacker:
    """Writes or listens where it may not, once."""

    def __init__(self, topic: str, *, writes: bool) -> None:
        self._topic = topic
        self._writes = writes

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        raise AssertionError(f"heard {message.topic}")

    def disconnected(self, why: str) -> None:
        raise AssertionError(why)

    async def connected(self, link: Link) -> None:
        if self._writes:
            await link.publish(self._topic, b"{}")
        else:
            await link.subscribe(Filter(self._topic))


class Pretender:
    """Asks in a box's name, whose key everybody knows."""

    def __init__(self, token: str, asked: JoinRequest) -> None:
        self._topics = Topics()
        self._token = token
        self._asked = asked
        self.answer: asyncio.Future[JoinAnswer] = asyncio.get_running_loop().create_future()

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        self.answer.set_result(decode(message.payload, JoinAnswer))

    def disconnected(self, why: str) -> None:
        raise AssertionError(why)

    async def connected(self, link: Link) -> None:
        await link.subscribe(Filter(self._topics.join(self._token, "reply", "x")))
        asked = encode(self._asked)
        await link.publish(self._topics.join(self._token, "request", "x"), asked)
        await self.answer


def _packet(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


async def by_alias(broker: Broker, own: str, other: str) -> list[int]:
    """The broker's codes for a number that stands for our own topic, then for another's, and
    alone; as many as come before it ends the connection.
    """
    context = broker.tls_context()
    reader, writer = await asyncio.open_connection(broker.host, broker.port, ssl=context)
    said = _text("aliases") + _text(broker.username or "") + _text(broker.password or "")
    writer.write(_packet(0x10, _text("MQTT"), b"\x05\xc2\0\x3c\0", said))
    size = (await reader.readexactly(2))[1]
    await reader.readexactly(size)
    codes: list[int] = []
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        for topic in (own, other, ""):
            writer.write(_packet(0x32, _text(topic), b"\0\x01\x03\x23\0\x01", b"{}"))
            size = (await reader.readexactly(2))[1]
            answer = await reader.readexactly(size)
            codes.append(answer[2] if size > 2 else 0)
    writer.transport.abort()
    return codes


async def attack(server: Server, good: str) -> None:
    """Try all that neither a token nor a box may; each is refused, whatever it is."""
    token = JoinToken.parse(good)
    await says(server.join(good, "b7", "--station", "b7"), "let in as station b7")
    state = server.box("b7") / "state"
    given = json.loads((state / "credential.json").read_text())["credential"]
    for user, password in (
        (token_user(token.id), token.secret),
        (given["username"], given["password"]),
    ):
        broker = Broker.parse(
            server.url, user, password, str(state / "ca.pem"), trusts_only_ca_file=True
        )
        for topic in (*WRITES, *LISTENS):
            attacker = Attacker(topic, writes=topic in WRITES)
            with pytest.raises((Refused, Disconnected), match=r"Not authorized|not .*connected"):
                await connect_once(broker, "an-attacker", attacker)
    for other in WRITES[:3]:  # a number leads nowhere else than its topic
        first, *codes = await by_alias(broker, "fleet/v1/station/b7/status", other)
        assert first < 0x80
        assert set(codes) <= {0x87}
    # The key of a box is no secret; who has not the other half changes nothing with it.
    agent = server.agent("b7")
    await agent.says("connected, as station b7")
    public = BoxKey.kept(state / "key").public
    asked = JoinRequest("b7", "b7", None, (), "1", public, proof="0" * 64)
    broker = Broker.parse(
        server.url,
        token_user(token.id),
        token.secret,
        str(state / "ca.pem"),
        trusts_only_ca_file=True,
    )
    pretender = Pretender(token.id, asked)
    await connect_once(broker, "a-pretender", pretender)
    answer = await pretender.answer
    assert answer.challenge is not None
    assert (answer.sealed, answer.code, answer.error) == (None, None, None)
    assert "Administrative action" not in agent.log()


async def test_who_has_a_token_or_stands_in_between_can_do_nothing_else(
    server: Server,
) -> None:
    await server.start()
    short = await server.token("--for", "2s", "--approve")
    late = server.join(short, "b6", "--station", "b6")
    (server.directory / "other").mkdir()
    other = Server(server.directory / "other")
    other.init()
    # Who stands in between has a certificate of an authority of its own.
    other.start_broker("log_type all\n")
    good = await server.token()
    try:
        fooled = server.join(good, "b5", "--station", "b5", url=other.url)
        await says(fooled, "is not the fleet of this token, and was told nothing")
        assert await fooled.ended() == 1
        # One that shows the right authority, and has not its key, is no better.
        assert other.broker is not None
        other.broker.kill()
        await asyncio.to_thread(other.broker.wait)
        forge(server, other)
        other.start_broker()
        fooled = server.join(good, "b5", "--station", "b5", url=other.url)
        await says(fooled, "its certificate is not trusted")
        assert await fooled.ended() == 1
        assert "client connected" not in (other.directory / "mosquitto.log").read_text()
    finally:
        other.end()
    assert not (server.box("b5") / "state/credential.json").exists()
    await says(late, "fleet token prints another line")
    assert await late.ended() == 1
    await attack(server, good)
