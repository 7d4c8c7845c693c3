"""What is recorded arrives off the station, and nothing counts before both sides agree."""

import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.media.archive import FinishedFile
from fleet.media.copies import CopyMemory
from fleet.media.local_copy import LOCAL_COPY
from fleet.media.rsync import RsyncJob
from fleet.roles import Failed
from fleet.roles.record import RecordSettings
from fleet.roles.sync import CopiesAsked, CopyNow, Sync, SyncSettings
from fleet.strict import Mistakes, structure
from tests.processes import Mosquitto, Programs, argv_of
from tests.processes import until as anywhere
from tests.roles.disk import Disk
from tests.roles.host import RealHost
from tests.roles.storage import Relay, Sshd, key, public, sshd
from tests.stranger import Stranger
from tests.wire.sides import Boss

MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path / "sshd") as found:
        yield found


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A directory whose name no shell may read."""
    path = tmp_path / "a storage; $(touch oops) 'x' -rf"
    path.mkdir()
    return path


@pytest.fixture
def host(make_host: MakeHost) -> RealHost:
    host = make_host(role="sync")
    host.recordings.mkdir()
    return host


def made(host: RealHost, target: dict[str, Any], **values: Any) -> Sync:
    return Sync(host, structure({"target": target, "minimum_free_gib": 0, **values}, SyncSettings))


def recording(host: RealHost, minute: int, size: int = 1000, directory: str = "") -> Path:
    """A finished one of that minute, of bytes that nobody else has."""
    place = host.recordings / directory
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"hall1-hall1-cam-main-20260201T09{minute:02}00Z.ts"
    file.write_bytes(os.urandom(size))
    return file


def metric(host: RealHost, name: str) -> float:
    value = host.registry.get_sample_value(f"fleet_sync_{name}")
    assert value is not None
    return value


def verified(host: RealHost) -> float:
    return metric(host, "verified_files")


def inodes(storage: Path) -> dict[Path, int]:
    return {path: path.stat().st_ino for path in storage.rglob("*.ts")}


async def trouble(role: Sync, host: RealHost, until: Until, reason: str) -> str:
    """What it says, once it says it for this reason."""
    try:
        await until(lambda: host.noted[0] == reason, role)
    except AssertionError:
        raise AssertionError(host.noted) from None
    assert host.failed is None
    assert metric(host, "last_error_timestamp_seconds") > 0
    return host.noted[1] or ""


def leaks(host: RealHost, text: str) -> list[str]:
    """Where others, or anybody later, can read it."""
    line = text.splitlines()[2]
    seen = {"ps": subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout}
    seen |= {"said": str([host.lines, host.noted]), "argv": str([c.argv for c in host.children])}
    for path in host.state.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            seen[str(path)] = path.read_text(errors="replace")
    return [where for where, said in seen.items() if line in said]


async def test_what_is_finished_arrives_oldest_first_and_counts_once_both_sides_agree(
    host: RealHost, server: Sshd, storage: Path, until: Until
) -> None:
    await server.listens()
    host.secrets["sync-key"] = server.secret
    files = [
        recording(host, 3),
        recording(host, 1, directory="-a copy"),
        recording(host, 2, 300_000),
        recording(host, 0, directory="* 'ü"),
    ]
    being_written = recording(host, 4)
    run = host.recordings / ".cam1.record.main.20260201T090000Z"
    run.mkdir()
    (run / "last").write_text(being_written.name)
    (host.recordings / "main-000000001.ts").write_bytes(b"of an HLS list")
    with recording(host, 5).open("ab"):
        role = made(host, server.target(storage))
        await role.start()
        await until(lambda: verified(host) == 4, role)
        assert leaks(host, server.secret) == []
        room = storage / "hall1"
        for file in files:
            copy = room / file.relative_to(host.recordings)
            assert copy.read_bytes() == file.read_bytes()
            assert int(copy.stat().st_mtime) == int(file.stat().st_mtime)
        assert sum(path.suffix == ".ts" for path in room.rglob("*")) == 4
        listed = await role.list(CopiesAsked())
        assert [one.verified is not None for one in listed.files] == [True] * 4
        order = sorted(listed.files, key=lambda one: str(one.verified))
        assert [one.path[-8:-6] for one in order] == ["00", "01", "02", "03"]
        assert metric(host, "verified_bytes") == 303_000
        assert metric(host, "pending_bytes") == 0
        assert metric(host, "oldest_unverified_timestamp_seconds") == 0
        run.joinpath("last").unlink()
        asked = await role.now(CopyNow())
        assert (asked.pending_files, asked.pending_bytes) == (1, 1000)
        await until(lambda: verified(host) == 5, role)
    await until(lambda: host.noted == (None, None), role)
    await role.stop()
    assert not list(host.state.glob("c*/key")), "no key is left behind"


async def test_a_byte_flipped_at_the_target_is_named_and_nothing_there_is_replaced(
    host: RealHost, server: Sshd, storage: Path, until: Until
) -> None:
    await server.listens()
    host.secrets["sync-key"] = server.secret
    flipped, longer, good = recording(host, 1), recording(host, 2), recording(host, 3)
    room = storage / "hall1"
    room.mkdir()
    bad = bytearray(flipped.read_bytes())
    bad[500] ^= 1
    (room / flipped.name).write_bytes(bad)
    (room / longer.name).write_bytes(longer.read_bytes() + b"x")
    role = made(host, server.target(storage), delete_verified_after_hours=0)
    await role.start()
    said = await trouble(role, host, until, "TargetDiffers")
    await until(lambda: not good.exists(), role)
    said = host.noted[1] or ""
    assert flipped.name in said
    assert "same size and another content" in said
    assert "1 more" in said
    assert (room / flipped.name).read_bytes() == bad
    assert flipped.exists()
    assert longer.exists()
    asked = await role.list(CopiesAsked(verified=False))
    assert [one.path for one in asked.files] == [flipped.name, longer.name]
    for file in (flipped, longer):  # as it says
        (room / file.name).rename(storage / file.name)
    await role.now(CopyNow())
    await until(lambda: not flipped.exists() and not longer.exists(), role)
    await until(lambda: host.noted == (None, None), role)
    await role.stop()


async def test_a_copy_that_was_damaged_after_it_was_verified_is_found_before_anything_is_deleted(
    host: RealHost, storage: Path, until: Until
) -> None:
    damaged, lost, good = recording(host, 1), recording(host, 2), recording(host, 3)
    role = made(host, {"type": "path", "path": str(storage)})
    await role.start()
    await until(lambda: verified(host) == 3, role)
    room = storage / "hall1"
    copy = bytearray((room / damaged.name).read_bytes())
    copy[-1] ^= 255
    (room / damaged.name).write_bytes(copy)
    (room / lost.name).unlink()
    short = structure(
        {"target": {"type": "path", "path": str(storage)}, "minimum_free_gib": 1_000_000},
        SyncSettings,
    )
    assert await role.update(short) is True
    said = await trouble(role, host, until, "TargetDiffers")
    assert damaged.name in said
    await until(lambda: not good.exists(), role)
    await until(lambda: not lost.exists(), role)
    assert (room / lost.name).exists(), "it was copied anew before"
    assert damaged.exists()
    asked = await role.list(CopiesAsked())
    assert {one.path: (one.verified is not None, one.here) for one in asked.files} == {
        damaged.name: (False, True),
        lost.name: (True, False),
        good.name: (True, False),
    }
    await role.stop()


async def test_a_link_that_is_cut_in_the_middle_of_a_file_is_said_and_the_copy_goes_on_there(
    host: RealHost,
    server: Sshd,
    storage: Path,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await server.listens()
    host.secrets["sync-key"] = server.secret
    relay = Relay(server.port)
    port = await relay.start()
    relay.most = 3_000_000
    file = recording(host, 1, 6_000_000)
    role = made(host, server.target(storage, port=port))
    await role.start()
    said = await trouble(role, host, until, "LinkCut")
    assert "goes on there" in said
    assert verified(host) == 0
    assert metric(host, "oldest_unverified_timestamp_seconds") == pytest.approx(
        file.stat().st_mtime
    )
    assert not (storage / "hall1" / file.name).exists()
    parts = storage / "hall1/.fleet-partial"
    await until(lambda: parts.is_dir() and list(parts.iterdir()))  # the other end sees it later
    (part,) = parts.iterdir()
    left = file.stat().st_size - part.stat().st_size
    assert left < 5_500_000
    relay.most, relay.sent = None, 0
    await role.now(CopyNow())
    await until(lambda: verified(host) == 1, role)
    assert (storage / "hall1" / file.name).read_bytes() == file.read_bytes()
    assert relay.sent < left + 200_000, "what had arrived was not sent again"
    await until(lambda: host.noted == (None, None), role)

    monkeypatch.setattr("fleet.media.copying._STALL_SECONDS", 3.0)
    recording(host, 2)
    relay.passes.clear()  # a network that takes everything and brings nothing
    await role.now(CopyNow())
    said = await trouble(role, host, until, "TargetHangs")
    assert "check it and the network" in said
    relay.passes.set()
    await role.now(CopyNow())
    await until(lambda: verified(host) == 2, role)
    await role.stop()
    relay.close()


async def test_refused_keys_changed_host_keys_and_hosts_that_are_away_have_words_of_their_own(
    make_host: MakeHost, server: Sshd, storage: Path, tmp_path: Path, until: Until
) -> None:
    await server.listens()
    host = make_host(role="sync")
    recording(host, 1)
    other = key(tmp_path / "other")
    host.secrets["sync-key"] = other
    role = made(host, server.target(storage))
    await role.start()
    said = await trouble(role, host, until, "KeyRefused")
    assert "authorized_keys" in said
    assert leaks(host, other) == []
    host.secrets["sync-key"] = server.secret  # as it says, and nothing has to be restarted
    await role.now(CopyNow())
    await until(lambda: verified(host) == 1, role)
    await role.stop()

    recording(host, 2)
    pinned = public(tmp_path / "other")
    host = make_host("b", role="sync")
    host.secrets["sync-key"] = server.secret
    role = made(host, server.target(storage, host_key=pinned))
    await role.start()
    said = await trouble(role, host, until, "HostKeyChanged")
    assert "nothing was sent" in said
    assert verified(host) == 0
    await role.stop()

    host = make_host("c", role="sync")
    host.secrets["sync-key"] = server.secret
    role = made(host, server.target(storage, host_key=public(server.host_key)))  # as it says
    await role.start()
    await until(lambda: verified(host) == 2, role)
    recording(host, 3)
    server.close()
    await role.now(CopyNow())
    said = await trouble(role, host, until, "TargetUnreachable")
    assert "check its address" in said
    await role.stop()


async def test_what_stands_in_the_way_at_a_target_is_said_and_the_copy_goes_on_without_it(
    host: RealHost, small_disk: Disk, tmp_path: Path, until: Until
) -> None:
    small_disk.run("head -c 6000000 /dev/zero > /mnt/full")
    file = recording(host, 1, 4_000_000)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "nsenter", "mkdir"):
        (programs / name).symlink_to(str(shutil.which(name)))
    more = f"ForceCommand {small_disk.shell}"
    with sshd(tmp_path / "sshd", more, PATH=str(programs)) as server:
        await server.listens()
        host.secrets["sync-key"] = server.secret
        role = made(host, server.target(Path("/mnt")))
        await role.start()
        said = await trouble(role, host, until, "TargetUnsuitable")
        assert "rsync is not at" in said
        assert "install it there" in said
        (programs / "rsync").symlink_to(str(shutil.which("rsync")))
        await role.now(CopyNow())
        said = await trouble(role, host, until, "TargetFull")
        assert "free some" in said
        assert verified(host) == 0
        small_disk.run("rm /mnt/full")
        await role.now(CopyNow())
        await until(lambda: verified(host) == 1, role)
        assert (small_disk.path / "hall1" / file.name).read_bytes() == file.read_bytes()
        recording(host, 2)
        small_disk.run("mount -o remount,ro /mnt")
        await role.now(CopyNow())
        said = await trouble(role, host, until, "TargetNotWritable")
        assert "remount its disk" in said
        small_disk.run("mount -o remount,rw /mnt")
        await role.now(CopyNow())
        await until(lambda: verified(host) == 2, role)
        await role.stop()


async def test_a_lost_or_damaged_memory_is_healed_by_comparing_and_nothing_is_copied_again(
    make_host: MakeHost, storage: Path, until: Until
) -> None:
    host = make_host(role="sync")
    files = [recording(host, minute) for minute in range(5)]
    target = {"type": "path", "path": str(storage)}
    role = made(host, target)
    await role.start()
    await until(lambda: verified(host) == 5, role)
    await role.stop()
    copies = inodes(storage)
    (host.state / "verified.json").write_bytes(b"\0" * 100)

    host = make_host(role="sync")
    role = made(host, target)
    await role.start()
    await until(lambda: verified(host) == 5, role)
    assert len(host.children) == 2, "asked what is there, and compared all of it at once"
    assert inodes(storage) == copies
    await role.stop()

    files[0].write_bytes(b"another")
    host = make_host(role="sync")
    role = made(host, target)
    await role.start()
    assert verified(host) == 5, "it remembers"
    assert files[0].name in await trouble(role, host, until, "TargetDiffers")
    assert verified(host) == 4
    await role.stop()


async def test_a_copy_that_an_earlier_agent_began_is_ended_and_not_begun_beside_itself(
    make_host: MakeHost, server: Sshd, storage: Path, until: Until
) -> None:
    await server.listens()
    before = make_host(role="sync")
    before.secrets["sync-key"] = server.secret
    recording(before, 1, 2_000_000)
    role = made(before, server.target(storage), bandwidth_mbit=1)
    await role.start()
    await until(lambda: list(storage.rglob(".*Z.ts.*")), role)
    for task in role._work:  # as an agent does that lets go
        task.cancel()
    pid = before.children[-1].pid

    after = make_host(role="sync")
    after.secrets["sync-key"] = server.secret
    role = made(after, server.target(storage), bandwidth_mbit=10)
    await role.start()
    await until(lambda: verified(after) == 1, role)
    assert after.children[0].pid == pid
    assert after.children[0].adopted
    await role.stop()


async def test_a_storage_that_is_not_there_is_said_and_nothing_is_made_in_its_place(
    host: RealHost, tmp_path: Path, until: Until
) -> None:
    recording(host, 1)
    role = made(host, {"type": "path", "path": str(tmp_path / "not mounted")})
    await role.start()
    said = await trouble(role, host, until, "TargetMissing")
    assert "mount its disk" in said
    assert not (tmp_path / "not mounted").exists()
    (tmp_path / "not mounted").mkdir()
    await role.now(CopyNow())
    await until(lambda: verified(host) == 1, role)
    await role.stop()


async def test_one_file_that_cannot_be_copied_holds_up_no_other(
    host: RealHost, storage: Path, until: Until
) -> None:
    first, second = recording(host, 1, directory="locked"), recording(host, 2)
    room = storage / "hall1"
    room.mkdir()
    (room / "locked").write_text("a file stands where the directory is to be")
    role = made(host, {"type": "path", "path": str(storage)})
    await role.start()
    await until(lambda: verified(host) == 1, role)
    assert (room / second.name).exists()
    said = await trouble(role, host, until, "TargetNotWritable")
    assert first.exists()
    assert "locked" in said
    (room / "locked").unlink()
    await role.now(CopyNow())
    await until(lambda: verified(host) == 2, role)
    await role.stop()


@pytest.mark.parametrize("wrong", ["no key at all", "passphrase", "cut"])
async def test_a_secret_that_is_no_key_fails_the_instance_with_what_to_do(
    wrong: str, host: RealHost, tmp_path: Path
) -> None:
    private = key(tmp_path / "key", passphrase="secret" if wrong == "passphrase" else "")
    text = {"cut": private.replace("b3BlbnNz", "", 1), "no key at all": "hunter2"}
    host.secrets["sync-key"] = text.get(wrong, private)
    here = {"type": "ssh", "host": "127.0.0.1", "user": "x", "path": "/x"}
    role = made(host, here | {"key": {"secret": "sync-key"}, "host_key": public(tmp_path / "key")})
    with pytest.raises(Failed) as failed:
        await role.start()
    assert failed.value.reason == "SecretUnsuitable"
    assert "ssh-keygen" in failed.value.message
    host.secrets["sync-key"] = key(tmp_path / "another")
    await role.start()
    await role.stop()


def test_verified_files_go_first_then_local_copies_stop_then_recordings_and_the_mix_last() -> None:
    def record(role: str, **values: Any) -> float:
        source = {"host": "127.0.0.1", "role": role}
        return structure({"source": source, **values}, RecordSettings).least_free

    target = {"target": {"type": "path", "path": "/x"}}
    order = [
        structure(target, SyncSettings).minimum_free_gib,
        LOCAL_COPY.minimum_free_gib,
        record("ingest"),
        record("mix"),
    ]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 4
    assert record("mix", minimum_free_gib=3) == 3


HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
SSH = {
    "type": "ssh",
    "host": "storage.example.org",
    "user": "fleet",
    "path": "/srv/fleet",
    "key": {"secret": "k"},
    "host_key": HOST_KEY,
}


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"host": "-oProxyCommand=id"}, "/target/host"),
        ({"host": "a b"}, "/target/host"),
        ({"host": "a\nProxyCommand id"}, "/target/host"),
        ({"host": "%h"}, "/target/host"),
        ({"host": ""}, "/target/host"),
        ({"user": "-l"}, "/target/user"),
        ({"user": "a b"}, "/target/user"),
        ({"user": "root\n"}, "/target/user"),
        ({"path": "srv/fleet"}, "/target/path"),
        ({"path": "/srv/*"}, "/target/path"),
        ({"path": "/srv/a\nb"}, "/target/path"),
        ({"path": "/" + "x" * 1024}, "/target/path"),
        ({"port": 0}, "/target/port"),
        ({"key": "-----BEGIN"}, "/target/key"),
        ({"host_key": "storage.example.org " + HOST_KEY}, "/target/host_key"),
        ({"host_key": HOST_KEY[:-9]}, "/target/host_key"),
        ({"host_key": HOST_KEY.replace("AAAAC3", "AAAAB3")}, "/target/host_key"),
        ({"host_key": HOST_KEY + "\n@cert-authority *"}, "/target/host_key"),
        ({"type": "path"}, "/target/host"),
    ],
    ids=str,
)
def test_a_target_that_could_mean_something_else_is_a_mistake_of_the_file(
    values: dict[str, Any], path: str
) -> None:
    structure({"target": SSH | {"host_key": HOST_KEY + " root@storage"}}, SyncSettings)
    with pytest.raises(Mistakes) as wrong:
        structure({"target": SSH | values}, SyncSettings)
    assert path in {one.pointer for one in wrong.value.mistakes}


def test_a_limit_is_what_rsync_calls_so() -> None:
    job = RsyncJob(Path("/r"), ["-a.ts"], Path("/n"), [], "/mnt/hall1")
    assert "--bwlimit=24414" in job.copying(200)  # KiB a second
    assert not [one for one in job.copying(None) if "bwlimit" in one]
    assert job.copying(None)[-2:] == ["/r/", "/mnt/hall1/"]


def test_what_was_kept_is_read_again_and_what_is_damaged_is_refused() -> None:
    memory = CopyMemory("a")
    for number in range(3):
        memory.add(FinishedFile(Path("/r"), f"{number}.ts", number, 7), 5.0)
    assert CopyMemory.decode("a", memory.encode()) == memory
    assert CopyMemory.decode("b", memory.encode()) == CopyMemory("b"), "nothing is there yet"
    for damaged in (
        b"",
        b"[]",
        b"{}",
        b"\0\0",
        b"[" * 100_000,
        b'{"target": "a", "files": {"x": 1}}',
    ):
        with pytest.raises(ValueError, match=r".*"):
            CopyMemory.decode("a", damaged)


async def test_a_copy_is_asked_over_the_wire_and_outlives_the_death_of_its_agent(
    broker: Mosquitto,
    programs: Programs,
    stranger: Stranger,
    server: Sshd,
    storage: Path,
    tmp_path: Path,
) -> None:
    await server.listens()
    boss, recordings = Boss(stranger, "cam1"), tmp_path / "recordings"
    recordings.mkdir()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "sync-key").write_text(server.secret)
    (secrets / "sync-key").chmod(0o600)
    file = recordings / "hall1-cam-main-20260201T090000Z.ts"
    file.write_bytes(os.urandom(3_000_000))
    said = f'recordings = "{recordings}"\nsecrets_dir = "{secrets}"\ninterval = 1.0\n'
    agent = programs.agent(broker, "cam1", said)
    await boss.online()
    settings = {"target": server.target(storage), "bandwidth_mbit": 4, "minimum_free_gib": 0}
    await boss.push(1, {"sync": {"main": settings}}, name="cam", room="hall1")
    _, reply = await boss.command("sync", "list")
    assert [(one["path"], one["verified"]) for one in reply["result"]["files"]] == [
        (file.name, None)
    ]
    await anywhere(lambda: list(storage.rglob(".*Z.ts.*")), what="a copy that is under way")
    (copying,) = [one for one in programs.leftovers() if argv_of(one)[:2] == ["rsync", "-8"]]
    copying.suspend()  # however long the next agent takes to begin
    agent.kill()
    await agent.ended()
    boss.since = stranger.mark()
    programs.agent(broker, "cam1", said)
    await boss.online()
    assert copying.is_running()
    copying.resume()
    assert "an earlier agent left" not in agent.log(), "it is taken over, not ended"

    def is_there(telemetry: Any) -> bool:
        figures = {family["name"]: family["samples"] for family in telemetry["families"]}
        return [one[2] for one in figures.get("fleet_sync_verified_files", [])] == [1]

    await boss.runs(1, {"sync": {"main": settings}})
    await stranger.expect(boss.topic("telemetry"), is_there, after=boss.since)
    _, reply = await boss.command("sync", "list", {"verified": True})
    found = reply["result"]["files"]
    assert (found[0]["path"], found[0]["bytes"], found[0]["here"]) == (file.name, 3_000_000, True)
    assert (storage / "hall1" / file.name).read_bytes() == file.read_bytes()
    _, reply = await boss.command("sync", "now")
    assert reply["result"] == {"pending_files": 0, "pending_bytes": 0}
