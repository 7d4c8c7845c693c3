"""The link to a real broker: refusals are errors, deaths leave a will, losses heal."""

import asyncio
import base64
import getpass
import hashlib
import inspect
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import pytest
from attrs import define, field
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from fleet.mqtt import (
    BACKOFF_CAP,
    BadBroker,
    Broker,
    Disconnected,
    Filter,
    Link,
    Message,
    NobodyListening,
    NotLetIn,
    Refused,
    Requests,
    Will,
    backoff,
    connect_once,
    keep,
)
from fleet.mqtt.connection import paho_of
from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger

WILL = Will("fleet/v1/will", b'"lost"')


@define
class Talk:
    """A session that does what the test says; `talk` is run on each connection."""

    talk: Callable[[Link], Awaitable[None]]
    a_will: Will | None = WILL
    hear: Callable[[Message], None] = field(init=False)
    messages: list[Message] = field(factory=list)
    losses: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.hear = self.messages.append

    def will(self) -> Will | None:
        return self.a_will

    def received(self, message: Message) -> None:
        self.hear(message)

    async def connected(self, link: Link) -> None:
        await self.talk(link)

    def disconnected(self, why: str) -> None:
        self.losses.append(why)


async def forever(link: Link) -> None:
    await asyncio.Event().wait()


def at(broker: Mosquitto) -> Broker:
    return Broker.parse(broker.url)


async def until_closed(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://h", Broker("h", 1883)),
        ("mqtt://h:99/", Broker("h", 99)),
        ("mqtts://h", Broker("h", 8883, tls=True)),
        ("mqtt://[::1]:5", Broker("::1", 5)),
        ("mqtt://hall_1.local", Broker("hall_1.local", 1883)),
        ("mqtt://bücher.example.org.", Broker("bücher.example.org.", 1883)),
    ],
)
def test_address_is_parsed(url: str, broker: Broker) -> None:
    assert Broker.parse(url) == broker
    assert Broker.parse(str(broker)) == broker


@pytest.mark.parametrize(
    "url", ["", "h", "h:1883", "http://h", "mqtt://", "mqtt://a@h", "mqtt://h/x", "mqtt://h:99999"]
)
def test_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(BadBroker):
        Broker.parse(url)


@pytest.mark.parametrize(
    "host",
    [
        "broker..example.org",
        ".example.org",
        "a b",
        "a,b",
        "-a",
        f"{'a' * 64}.org",
        "a." * 150,
        "ä" * 64,
    ],
)
def test_a_host_that_is_none_is_told_before_anybody_is_asked(host: str) -> None:
    with pytest.raises(BadBroker, match="is no host name"):
        Broker.parse(f"mqtt://{host}:1883")


def test_port_0_is_no_port_and_not_the_usual_one() -> None:
    with pytest.raises(BadBroker, match="no port is 0"):
        Broker.parse("mqtt://h:0")


def test_password_is_in_no_text() -> None:
    assert "geheim" not in repr(Broker.parse("mqtt://h", "u", "geheim"))


async def test_will_fires_on_a_crash(broker: Mosquitto, stranger: Stranger) -> None:
    async def crash(link: Link) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await connect_once(at(broker), "c", Talk(crash))
    assert await stranger.expect(WILL.topic) == "lost"


async def test_will_fires_when_the_task_is_cancelled(broker: Mosquitto, stranger: Stranger) -> None:
    begun = asyncio.Event()

    async def talk(link: Link) -> None:
        begun.set()
        await forever(link)

    task = asyncio.create_task(connect_once(at(broker), "c", Talk(talk)))
    await begun.wait()
    await until_closed(task)
    await stranger.expect(WILL.topic)


async def test_no_will_on_a_clean_leave(broker: Mosquitto, stranger: Stranger) -> None:
    async def leave(link: Link) -> None:
        await link.publish("fleet/v1/said", b"1")

    await keep(at(broker), "c", Talk(leave))
    await stranger.expect("fleet/v1/said")
    async with Stranger(broker.port, "fleet/v1/#") as late:
        await stranger.publish("fleet/v1/after", 1)
        await late.expect("fleet/v1/after")
        assert not late.on(WILL.topic)


async def test_nobody_listening_is_seen_at_once(broker: Mosquitto) -> None:
    codes = []

    async def talk(link: Link) -> None:
        codes.append(await link.publish("nobody/hears", b"x"))
        with pytest.raises(NobodyListening):
            await Requests(link).ask("nobody/hears", b"x", 10, "reply")

    await connect_once(at(broker), "c", Talk(talk))
    assert codes == [16]


ACL = """
listener {{port}} 127.0.0.1
allow_anonymous true
acl_file {directory}/acl
user {user}
"""


async def test_refused_publish_is_an_error_and_the_next_goes_through(
    brokers: Callable[[str], Mosquitto], tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic readwrite allowed/#\n")
    broker = brokers(ACL.format(directory=tmp_path, user=getpass.getuser()))

    async def talk(link: Link) -> None:
        await link.subscribe(Filter("allowed/#"))
        with pytest.raises(Refused, match="Not authorized"):
            await link.publish("forbidden/topic", b"x")
        assert await link.publish("allowed/topic", b"x") == 0

    await connect_once(at(broker), "c", Talk(talk))


async def test_refused_connection_is_a_loss_and_tried_again(
    brokers: Callable[[str], Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = brokers("listener {port} 127.0.0.1\nallow_anonymous false\n")
    session = Talk(forever)
    monkeypatch.setattr("fleet.mqtt._BACKOFF_BASE", 0.01)
    task = asyncio.create_task(keep(at(broker), "c", session))
    await until(lambda: len(session.losses) >= 2, what="two refusals")
    await until_closed(task)
    assert "Not authorized" in session.losses[0]
    assert broker.url in session.losses[0]


async def test_a_cancellation_is_heeded_whenever_it_comes(
    brokers: Callable[[str], Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = brokers("listener {port} 127.0.0.1\nallow_anonymous false\n")
    monkeypatch.setattr("fleet.mqtt.backoff", lambda failures: 0)
    loop = asyncio.get_running_loop()
    for attempt in range(200):
        task = asyncio.create_task(keep(at(broker), "c", Talk(forever)))
        loop.call_later(attempt * 2e-5, task.cancel)
        async with asyncio.timeout(60):
            await asyncio.wait({task})
        assert task.cancelled()


async def test_comes_back_when_the_broker_does(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = []

    async def talk(link: Link) -> None:
        connections.append(link)
        await link.publish("fleet/v1/here", b"%d" % len(connections))
        await forever(link)

    monkeypatch.setattr("fleet.mqtt._BACKOFF_BASE", 0.05)
    session = Talk(talk)
    task = asyncio.create_task(keep(at(broker), "c", session))
    await until(lambda: len(connections) == 1)
    broker.stop()
    await until(lambda: session.losses)
    await until(lambda: len(session.losses) >= 2, what="an attempt that failed")
    broker.start()
    await until(lambda: len(connections) == 2)
    async with Stranger(broker.port, "fleet/v1/#") as stranger:
        await until_closed(task)
        await stranger.expect(WILL.topic)


async def test_publish_that_waits_when_the_connection_breaks_is_told(broker: Mosquitto) -> None:
    caught = []

    async def talk(link: Link) -> None:
        broker.stop()
        waiting = link.publish("x", b"1")
        try:
            await waiting
        except Disconnected as error:
            caught.append(error)
            raise

    with pytest.raises(Disconnected):
        await connect_once(at(broker), "c", Talk(talk))


async def test_messages_carry_what_their_sender_gave_them(
    broker: Mosquitto, stranger: Stranger
) -> None:
    await stranger.publish("a/kept", 1, retain=True)
    heard = asyncio.Event()
    session = Talk(forever, a_will=None)

    async def talk(link: Link) -> None:
        await link.subscribe(Filter("a/#"), Filter("b/#", as_published=True))
        await link.publish("a/own", b"", correlation=b"c", expiry=60, user={"at": "now"})
        heard.set()
        await until(lambda: len(session.messages) == 4)

    session.talk = talk
    task = asyncio.create_task(connect_once(at(broker), "c", session))
    await heard.wait()
    await stranger.publish("a/live", 2, retain=True)
    await stranger.publish("b/live", 3, retain=True)
    await asyncio.wait_for(task, 60)
    found = {message.topic: message for message in session.messages}
    assert found["a/kept"].retain
    assert not found["a/live"].retain
    assert found["b/live"].retain
    own = found["a/own"]
    assert (own.correlation, own.expiry, own.user) == (b"c", 60, (("at", "now"),))


async def test_a_flood_that_is_dear_to_handle_takes_one_turn_of_the_loop_for_each(
    broker: Mosquitto, stranger: Stranger
) -> None:
    turn, turns = 0, []

    def count() -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(count)

    def hear(message: Message) -> None:
        turns.append(turn)
        time.sleep(0.03)  # longer than a turn may read

    loop, there = asyncio.get_running_loop(), asyncio.Event()

    async def listen(link: Link) -> None:
        await link.subscribe(Filter("fleet/v1/x"))
        there.set()
        await forever(link)

    talk = Talk(listen)
    talk.hear = hear
    task = asyncio.create_task(connect_once(at(broker), "me", talk))
    await there.wait()
    count()
    for _ in range(8):
        await stranger.publish("fleet/v1/x", {})
    await until(lambda: len(turns) == 8, what="all of them")
    assert len(set(turns)) == 8, "others had their turn in between"
    await until_closed(task)


async def test_reply_is_matched_by_its_correlation(broker: Mosquitto, stranger: Stranger) -> None:
    await stranger.listen("ask/#")
    session = Talk(forever, a_will=None)
    replies: list[bytes] = []

    async def talk(link: Link) -> None:
        await link.subscribe(Filter("reply"))
        requests = Requests(link)
        session.hear = requests.received
        async with asyncio.TaskGroup() as group:
            first = group.create_task(requests.ask("ask/1", b"1", 60, "reply"))
            second = group.create_task(requests.ask("ask/2", b"2", 60, "reply"))
        replies.extend((first.result(), second.result()))
        with pytest.raises(TimeoutError):
            await requests.ask("ask/3", b"3", 0.2, "reply")

    session.talk = talk
    task = asyncio.create_task(connect_once(at(broker), "c", session))
    one = await stranger.expect_message("ask/1")
    two = await stranger.expect_message("ask/2")
    await stranger.publish("reply", b"nobody's", correlation=b"?")
    await stranger.publish("reply", b"to two", correlation=two.correlation)
    await stranger.publish("reply", b"to one", correlation=one.correlation)
    await stranger.publish("reply", b"to one again", correlation=one.correlation)
    await asyncio.wait_for(task, 60)
    assert replies == [b"to one", b"to two"]


async def test_handler_that_raises_ends_nothing(
    broker: Mosquitto, stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Message] = []

    async def talk(link: Link) -> None:
        await link.subscribe(Filter("a/#"))
        for n in range(3):
            await link.publish("a/x", b"%d" % n)
        await until(lambda: len(calls) == 3)

    class Clumsy(Talk):
        def received(self, message: Message) -> None:
            calls.append(message)
            raise RuntimeError("oops")

    await connect_once(at(broker), "c", Clumsy(talk))
    assert "could not be handled" in caplog.text


def test_backoff_has_full_jitter_and_a_cap() -> None:
    for failures in (0, 1, 5, 50):
        waits = [backoff(failures) for _ in range(500)]
        top = min(BACKOFF_CAP, 0.5 * 2**failures)
        assert 0 <= min(waits) < top * 0.1
        assert top * 0.9 < max(waits) <= top


@pytest.mark.parametrize(("count", "read"), [(700, 700), (819, 819), (820, 0), (300_000, 0)])
def test_more_properties_than_anybody_needs_are_none(count: int, read: int) -> None:
    length = bytes(VariableByteIntegers.encode(5 * count))  # type: ignore[no-untyped-call]
    packet = length + b"\x26\0\0\0\0" * count + b"the payload"
    properties, size = Properties(PacketTypes.PUBLISH).unpack(packet)  # type: ignore[no-untyped-call]
    assert packet[size:] == b"the payload"
    assert len(getattr(properties, "UserProperty", [])) == read


def test_what_is_borrowed_from_the_libraries_is_still_there() -> None:
    async def client() -> paho.Client:
        return paho_of(aiomqtt.Client("127.0.0.1"))

    inner = asyncio.run(client())
    # Those two are called on; every other callback of aiomqtt's is replaced by paho's setters.
    assert inner.on_connect is not None
    assert inner.on_disconnect is not None
    assert list(inspect.signature(inner.on_connect).parameters)[3] == "reason_code"
    assert list(inspect.signature(inner.on_disconnect).parameters)[2:4] == ["flags", "reason_code"]
    other: Any = object.__new__(aiomqtt.Client)
    with pytest.raises(RuntimeError, match="install aiomqtt"):
        paho_of(other)


GUARDED = """
listener {{port}} 127.0.0.1
plugin {plugin}
plugin_opt_config_file {directory}/security.json
user {user}
"""


@pytest.fixture
def guarded(brokers: Callable[[str], Mosquitto], tmp_path: Path) -> Mosquitto:
    """A broker that refuses every subscription, and knows the user ann (password: pass)."""
    salt, rounds = b"twelve bytes", 101
    digest = hashlib.pbkdf2_hmac("sha512", b"pass", salt, rounds)
    access = dict.fromkeys(("publishClientSend", "publishClientReceive", "unsubscribe"), True)
    client = {
        "username": "ann",
        "password": base64.b64encode(digest).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": rounds,
    }
    security = {"defaultACLAccess": access | {"subscribe": False}, "clients": [client]}
    (tmp_path / "security.json").write_text(json.dumps(security))
    plugin = next(Path("/usr/lib").rglob("mosquitto_dynamic_security.so"))
    me = getpass.getuser()
    return brokers(GUARDED.format(plugin=plugin, directory=tmp_path, user=me))


async def test_a_refused_subscription_names_topic_user_and_what_the_acl_needs(
    guarded: Mosquitto,
) -> None:
    async def talk(link: Link) -> None:
        await link.subscribe(Filter("fleet/v1/manager/presence"))

    with pytest.raises(Refused) as caught:
        await connect_once(Broker.parse(guarded.url, "ann", "pass"), "c", Talk(talk))
    assert str(caught.value) == (
        "the broker refused fleet/v1/manager/presence: Not authorized; its ACL needs, for the "
        "user 'ann': topic read fleet/v1/manager/presence"
    )


async def test_a_wrong_password_is_not_an_absent_broker(guarded: Mosquitto) -> None:
    with pytest.raises(NotLetIn, match=r"does not let in the user 'ann' .*password right"):
        await connect_once(Broker.parse(guarded.url, "ann", "wrong"), "c", Talk(forever))


async def test_programs_say_in_words_what_they_are_refused(
    guarded: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("pass\n")
    who = {
        "FLEET_BROKER": guarded.url,
        "FLEET_USERNAME": "ann",
        "FLEET_PASSWORD_FILE": str(tmp_path / "password"),
    }
    state = ("--state-dir", str(tmp_path / "agent"))
    agent = programs.start("fleet-agent", "run", "--station", "b1", *state, **who)
    manager = programs.start(
        *(
            "fleet-manager",
            "run",
            "--state-dir",
            str(tmp_path / "manager"),
            "--http",
            "127.0.0.1:0",
        ),
        **who,
    )
    status = programs.start("fleet", "status", **who)
    wrong = programs.start("fleet", "doctor", name="wrong", **who | {"FLEET_USERNAME": "bob"})
    await agent.says("not connected: the broker refused fleet/v1/station/b1/config")
    assert await manager.ended() == 1
    assert await status.ended() == 4
    assert await wrong.ended() == 4
    for program in (manager, status):
        said = " ".join(program.log().split())
        assert "Not authorized; its ACL needs, for the user 'ann': topic read fleet/v1/" in said
    assert "the broker does not let in the user 'bob'" in " ".join(wrong.log().split())
    for program in programs.started:
        assert "Traceback" not in program.log()
        assert "no broker could be reached" not in " ".join(program.log().split())


async def test_why_there_is_no_connection_is_said_in_words(broker: Mosquitto) -> None:
    broker.stop()
    with pytest.raises(Disconnected) as refused:
        await connect_once(at(broker), "c", Talk(forever))
    assert str(refused.value).startswith(f"{broker.url}: nothing listens there")
    with pytest.raises(Disconnected, match=r"name nowhere\.invalid cannot be resolved"):
        await connect_once(Broker("nowhere.invalid", 1), "c", Talk(forever))


async def test_a_connection_that_is_taken_over_says_so(broker: Mosquitto) -> None:
    first, second = Talk(forever), Talk(forever)
    connected = asyncio.Event()

    async def talk(link: Link) -> None:
        connected.set()
        await forever(link)

    first.talk = talk
    one = asyncio.create_task(connect_once(at(broker), "same", first))
    await connected.wait()
    two = asyncio.create_task(connect_once(at(broker), "same", second))
    with pytest.raises(Disconnected, match=r"the connection broke|Session taken over"):
        await one
    await until_closed(two)
