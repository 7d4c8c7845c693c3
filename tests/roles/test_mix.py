"""Two sources, one mixer: what is seen, heard and offered, whatever dies or goes."""

import asyncio
import contextlib
import itertools
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.media.mixer_settings import MixSettings
from fleet.model import InvalidArguments
from fleet.roles import CommandFailed, Failed
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.mix import CutTo, Heard, Mix, MixFactory, Nothing
from fleet.strict import Mistakes, structure
from tests.processes import free_port, keeps_pace
from tests.roles.host import RealHost
from tests.roles.mixing import Ears, Eyes, clip, loud, own_address, scene, two_ports

MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]
NOWHERE = {"host": "127.0.0.1", "port": 1}
SHOWN = {"composite": "side_by_side", "a": "slides", "b": "cam", "audio": "cam", "live": True}


def settings(**values: Any) -> MixSettings:
    small = {
        "sources": {"cam": NOWHERE, "slides": NOWHERE},
        "audio": "cam",
        "composite": "side_by_side",
        "a": "slides",
        "b": "cam",
        "size": "160x90",
        "rate": 5,
        "video_bitrate": 300_000,
        "port": two_ports(),
        "listen": "127.0.0.1",
        "control_listen": own_address(),
    }
    return structure({**small, **values}, MixSettings)


@asynccontextmanager
async def ingest(make_host: MakeHost, name: str, file: Path, port: int) -> AsyncIterator[Ingest]:
    what = {"type": "file", "path": str(file)}
    wanted = {"picture": what, "sound": what, "size": "160x90", "video_bitrate": 300_000}
    here = {"listen": "127.0.0.1", "port": port, "local_copy": {"enabled": False}}
    role = Ingest(make_host(name, role="ingest"), structure({**wanted, **here}, IngestSettings))
    await role.start()
    try:
        yield role
    finally:
        await role.stop()


@asynccontextmanager
async def running(host: RealHost, wanted: MixSettings) -> AsyncIterator[Mix]:
    role = Mix(host, wanted)
    try:
        await role.start()
        yield role
    finally:
        await role.stop()


def metric(host: RealHost, name: str, **labels: str) -> float | None:
    return host.registry.get_sample_value(f"fleet_mix_{name}", labels)


def _kept(host: RealHost) -> Any:
    path = host.state / "scene"
    return scene(path) if path.exists() else {}


def child(host: RealHost, name: str) -> psutil.Process:
    """The program of this name that was started last."""
    pids = [one.pid for one in host.children if one.output.parent.name == name]
    return psutil.Process(pids[-1])


@pytest.mark.long
async def test_what_is_cut_to_is_seen_and_heard_at_once_and_is_back_after_the_mixer_was_killed(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    host, ports = make_host(role="mix"), [free_port(), free_port()]
    files = [clip(colour, tmp_path / f"{colour}.mkv") for colour in ("red", "blue")]
    wanted = settings(
        sources={
            "cam": {"host": "127.0.0.1", "port": ports[0]},
            "slides": {"host": "127.0.0.1", "port": ports[1]},
        },
        rate=25,
    )
    async with (
        ingest(make_host, "cam", files[0], ports[0]),
        ingest(make_host, "slides", files[1], ports[1]) as slides,
        running(host, wanted) as role,
    ):
        program, blankable = wanted.port, wanted.port + 1
        with Eyes(program) as eyes, Ears(program) as ears, Eyes(blankable) as audience:
            await until(lambda: eyes.now == audience.now == ("blue", "red"), role)
            await until(lambda: metric(host, "source_present", source="slides") == 1, role)
            await until(lambda: metric(host, "source_present", source="cam") == 1, role)
            shown = await role.get(Nothing())
            assert shown.sources == {"cam": True, "slides": True}
            assert (shown.composite, shown.a, shown.b) == ("side_by_side", "slides", "cam")
            assert metric(host, "audio_source", source="cam") == 1
            assert metric(host, "composite", composite="side_by_side") == 1

            async def hears(heard: str, other: str) -> None:
                """Wait until one tone alone is heard, as loud as it is in its file."""
                file = await asyncio.to_thread(loud, tmp_path / f"{heard}.mkv", heard)

                def well() -> bool:
                    levels = ears.levels()
                    return (
                        levels is not None
                        and levels[heard] == pytest.approx(file, abs=0.5)
                        and levels[other] < file - 25
                    )

                try:
                    await until(well, role)
                except AssertionError as error:
                    raise AssertionError(f"{heard} is at {file} dB: {ears.levels()}") from error

            await hears("red", "blue")

            cuts = itertools.cycle([("slides", "blue"), ("cam", "red")])

            async def cut_to(name: str, seen: str) -> str:
                cut = time.monotonic()
                shown = await role.cut(CutTo("fullscreen", name))
                assert (shown.composite, shown.a) == ("fullscreen", name)
                await until(lambda: eyes.when((seen, seen), cut), role)
                late = (eyes.when((seen, seen), cut) or 0) - cut
                return "" if late < 0.5 else f"{name} was seen {late} s after the cut"

            await cut_to("cam", "red")
            await keeps_pace(lambda: cut_to(*next(cuts)), 9)
            await cut_to("cam", "red")
            await role.cut(CutTo(a="slides"))
            await until(lambda: eyes.now == ("blue", "blue"), role)
            await role.audio(Heard("slides"))
            await role.blank(Nothing())
            await until(lambda: audience.now == ("black", "black"), role)
            await until(lambda: metric(host, "live") == 0, role)
            assert eyes.now == ("blue", "blue"), "the program is not blanked"

            killed = time.monotonic()
            child(host, "mixer").kill()
            await until(lambda: metric(host, "mixer_restarts_total") == 1, role)
            assert host.noted[0] == "StreamBlank"
            assert "the mixer ended and was begun again as it was" in (host.noted[1] or "")
            shown = None
            while shown is None:
                role.tick()
                await asyncio.sleep(0.05)
                with contextlib.suppress(CommandFailed):
                    shown = await role.cut(CutTo(a="cam"))
            assert (shown.composite, shown.audio, shown.live) == ("fullscreen", "slides", False)
            await until(lambda: eyes.now == ("red", "red"), role)
            beside = {("blue", "red"), ("red", "blue")}
            after = [what for at, what in eyes.seen if at > killed]
            assert beside.isdisjoint(after), "of another composite nothing is seen"
            assert {what for at, what in audience.seen if at > killed} == {("black", "black")}
            await role.cut(CutTo(a="slides"))
            await hears("blue", "red")
            await role.live(Nothing())
            await until(lambda: audience.now == ("blue", "blue"), role)
            await until(lambda: host.noted[0] == "MixerRestarted", role)

            mixer = child(host, "mixer").pid
            await slides.stop()
            await until(lambda: host.noted[0] == "SourceMissing", role)
            assert "slides (127.0.0.1:" in (host.noted[1] or "")
            assert metric(host, "source_present", source="slides") == 0
            async with ingest(make_host, "slides", files[0], free_port()) as elsewhere:
                moved = settings(
                    **{one: getattr(wanted, one) for one in ("port", "control_listen", "rate")},
                    sources={
                        "cam": {"host": "127.0.0.1", "port": ports[0]},
                        "slides": {"host": "127.0.0.1", "port": elsewhere.settings.port},
                    },
                )
                assert await role.update(moved)
                await until(lambda: eyes.now == ("red", "red"), role)
                await until(lambda: host.noted[0] != "SourceMissing", role)
                assert child(host, "mixer").pid == mixer, "it went on meanwhile"
            assert eyes.process.poll() is None, "who reads the program was never cut off"
            assert ears.process.poll() is None
    assert host.failed is None


async def test_what_was_cut_to_outlives_agent_and_reboot_until_the_file_says_otherwise(
    make_host: MakeHost, until: Until
) -> None:
    one = {"port": two_ports(), "outputs": ["blankable"]}
    host, wanted = make_host(role="mix"), settings(**one)
    first = Mix(host, wanted)
    await first.start()
    await first.cut(CutTo("picture_in_picture", "cam"))
    await first.blank(Nothing())
    assert scene(host.state / "scene")["composite"] == "picture_in_picture"
    before = child(host, "mixer").pid
    for task in [*first.tasks]:
        task.cancel()  # the agent is gone, its children are not

    again = make_host(role="mix")
    second = Mix(again, wanted)
    await second.start()
    assert child(again, "mixer").pid == before
    shown = await second.get(Nothing())
    assert (shown.composite, shown.a, shown.b, shown.live) == (
        "picture_in_picture",
        "cam",
        "slides",
        False,
    )
    await second.audio(Heard("slides"))
    await second.stop()  # as a reboot does

    async with running(make_host(role="mix"), settings(**one, live=False)) as third:
        shown = await third.get(Nothing())
        assert (shown.composite, shown.a, shown.audio) == ("picture_in_picture", "cam", "slides")
    (host.state / "scene").write_bytes(b"\0" * 64)  # a power cut
    async with running(make_host(role="mix"), settings(**one, composite="fullscreen")) as fourth:
        shown = await fourth.get(Nothing())
        assert (shown.composite, shown.a, shown.live) == ("fullscreen", "slides", True)
        assert await fourth.update(settings(**one, audio="slides", composite="fullscreen"))
        shown = await fourth.get(Nothing())
        assert (shown.composite, shown.audio) == ("fullscreen", "slides")
        names = {"sources": {"cam": NOWHERE, "screen": NOWHERE}, "a": "screen"}
        assert not await fourth.update(settings(**one, **names)), "another mixer"


async def test_the_mixer_listens_nowhere_but_where_it_is_told(
    make_host: MakeHost, until: Until
) -> None:
    host, wanted = make_host(role="mix"), settings(outputs=["blankable"])
    async with running(host, wanted) as role:
        mixer = child(host, "mixer")
        sockets = [one for one in mixer.net_connections("inet") if not one.raddr]
        assert {one.laddr.ip for one in sockets} == {wanted.control_listen}
        ports = {one.laddr.port for one in sockets}
        assert {9998, 9999, 10000, 10001, 11000, 13000, 15000} <= ports
        for port in ports:
            for other in ("127.99.99.99", "127.0.77.1"):  # where no other mixer is
                with pytest.raises(OSError, match="refused"):
                    socket.create_connection((other, port), 1)
        with socket.create_connection((wanted.control_listen, 9999), 1) as gui:
            gui.sendall(b"get_config\n")
            assert gui.recv(20).startswith(b"server_config {")
            gui.sendall(b"set_video_a cam\n")  # as voctogui does
            await until(lambda: _kept(host).get("a") == "cam")
        assert (await role.get(Nothing())).a == "cam"
        with pytest.raises(InvalidArguments, match="did you mean 'slides'"):
            await role.cut(CutTo(a="slide"))
        with pytest.raises(InvalidArguments, match="expected two sources"):
            await role.cut(CutTo(a="cam", b="cam"))

        second = Mix(make_host("second", role="mix"), settings(outputs=["blankable"]))
        with pytest.raises(Failed, match="PortInUse: another program has the mixer's ports"):
            await second.start()
        await second.stop()

        mixer.send_signal(signal.SIGSTOP)
        # It counts as stalled, whatever its outputs do.
        await until(lambda: time.monotonic() - host.progressed > 3, role)
        mixer.send_signal(signal.SIGCONT)


async def test_a_mixer_with_one_source_and_wide_open_control_begins(make_host: MakeHost) -> None:
    host = make_host(role="mix")
    one = {"sources": {"cam": NOWHERE}, "composite": "fullscreen", "a": None, "b": None}
    wanted = settings(**one, outputs=["blankable"], live=False, encoder="vaapi")
    async with running(host, wanted) as role:
        shown = await role.get(Nothing())
        assert (shown.a, shown.b, shown.live) == ("cam", "cam", False)
        assert not (await role.cut(CutTo(a="cam"))).live
        role.tick()
        assert host.noted[0] == "StreamBlank"
        assert "VAAPI does not encode here" in (host.noted[1] or ""), "nothing here can"
    assert MixFactory().offers(wanted).keys() == {"blankable"}


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"audio": "cma"}, "/audio", "there is no source 'cma' (did you mean 'cam'?)"),
        ({"a": "pult"}, "/a", "there is no source 'pult' (there are: cam, slides)"),
        ({"b": "slide"}, "/b", "there is no source 'slide' (did you mean 'slides'?)"),
        ({"b": "slides"}, "/b", "is 'slides' as a is: expected another source, or none"),
        ({"composite": "pip"}, "/composite", "expected one of 'fullscreen'"),
        ({"sources": {}}, "/sources", "expected 1 to 64 keys, got an empty table"),
        ({"sources": {"a b": NOWHERE}}, "/sources/a b", "cannot name a source"),
        ({"sources": {"background": NOWHERE}}, "/sources/background", "some are the mixer's own"),
        ({"sources": {"cam": NOWHERE}, "a": "cam", "b": None}, "/composite", "shows two sources"),
        ({"outputs": ["program", "program"]}, "/outputs", "names an output twice"),
        ({"outputs": ["preview"]}, "/outputs/0", "expected one of 'program', 'blankable'"),
        ({"port": 65535}, "/port", "expected 1024 to 65534"),
        ({"control_listen": "mixer"}, "/control_listen", "text like"),
    ],
)
def test_settings_that_no_mixer_can_have_are_told_with_their_path(
    values: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(Mistakes) as caught:
        settings(**values)
    found = {one.pointer: one.message for one in caught.value.mistakes}
    assert path in found, found
    assert message in found[path]
