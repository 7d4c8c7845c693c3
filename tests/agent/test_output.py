"""Reading what children write: every line once, bounded whatever is written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.engine.reconcile import Key
from fleet.agent.hidden import Hidden
from fleet.agent.processes import output
from fleet.agent.processes.output import Allowance, LogFile, Logs, empty
from fleet.model import LogLine
from tests.agent.engine import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "main.stderr"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def read(log: LogFile, allowance: Allowance | None = None) -> list[str]:
    return list(log.read(allowance or Allowance()))


def nowhere(_: LogLine | int) -> None:
    """For who does not look."""


def logs_of(
    own: Path,
    clock: FakeClock,
    lines: Callable[[LogLine], None] = nowhere,
    dropped: Callable[[int], None] = nowhere,
    *secrets: str,
) -> Logs:
    hidden = Hidden()
    for secret in secrets:
        hidden.hide(secret)
    return Logs(Key("record", "main"), own, clock, lines, dropped, hidden)


@given(st.lists(st.binary(max_size=30), max_size=12))
def test_lines_come_out_once_however_they_were_cut_when_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "main.stderr"
    log = LogFile(path, "stderr")
    seen: list[str] = []
    for chunk in chunks:
        append(path, chunk)
        seen += read(log)
    whole = b"".join(chunks).split(b"\n")[:-1]
    assert seen == [output.text(line) for line in whole if line.strip()]


def test_what_was_there_before_is_not_read(path: Path) -> None:
    append(path, b"old\n")
    log = LogFile(path, "stderr", begun=4)
    append(path, b"new\n")
    assert read(log) == ["new"]
    assert log.words(5) == ["new"]
    assert words(log, 5) == ["old", "new"]


def test_lines_past_the_allowance_are_counted_as_dropped(path: Path) -> None:
    log, allowance = LogFile(path, "stderr"), Allowance()
    append(path, b"".join(b"line %d\n" % n for n in range(1000)))
    assert read(log, allowance) == [f"line {n}" for n in range(50)]
    assert allowance.dropped == 950
    append(path, b"more\n")
    assert read(log, allowance) == []
    allowance.refill(1.0)
    append(path, b"again\n")
    assert read(log, allowance) == ["again"]
    assert allowance.dropped == 951


def test_a_line_without_an_end_is_cut_and_held_in_little_memory(path: Path) -> None:
    log, allowance = LogFile(path, "stderr"), Allowance()
    seen = []
    for _ in range(20):
        append(path, b"x" * 100_000)
        seen += read(log, allowance)
    append(path, b"the end\nnext\n")
    seen += read(log, allowance)
    assert [len(line) for line in seen] == [4 * output.LINE_LENGTH, len("next")]
    assert output.clipped(seen[0]).endswith("…")


def test_bytes_that_are_no_text_are_shown_all_the_same(path: Path) -> None:
    log = LogFile(path, "stderr")
    append(path, b"caf\xe9 \0 ok\r\n")
    assert read(log) == ["caf\ufffd  ok"]


def words(log: LogFile, lines: int) -> list[str]:
    return [line.text for line in log.last(lines)]


def test_a_long_log_is_moved_aside_and_the_last_lines_are_still_found(path: Path) -> None:
    log = LogFile(path, "stderr")
    for number in range(4):
        append(path, b"%d\n" % number * 600_000)
        read(log)
        assert log.rotate(Allowance())
        assert path.stat().st_size == 0
    sizes = [file.stat().st_size for file in sorted(path.parent.iterdir())]
    assert len(sizes) == 1 + output.KEPT
    assert max(sizes) <= output.ROTATE
    append(path, b"last\n")
    assert read(log) == ["last"]
    assert words(log, 3) == ["3", "3", "last"]


def test_each_of_the_last_lines_says_when_it_was_read_as_far_as_this_agent_read_it(
    path: Path,
) -> None:
    append(path, b"earlier agent\n")
    log = LogFile(path, "stderr")
    at = datetime(2026, 2, 1, 9, tzinfo=UTC)

    def say(seconds: int, data: bytes) -> None:
        append(path, data)
        read(log)
        log.mark(at + timedelta(seconds=seconds))

    say(1, b"one\ntwo\nthr")
    say(2, b"ee\n")
    say(9, b"x" * output.ROTATE + b"\nlast\n")
    found = [(line.at and (line.at - at).seconds, line.text[:13]) for line in log.last(9)]
    assert found[-1] == (9, "last")
    assert log.rotate(Allowance())
    say(12, b"after\n")
    found = [(line.at and (line.at - at).seconds, line.text) for line in log.last(2)]
    assert found == [(9, "last"), (12, "after")]
    path.write_bytes(b"")
    read(log)
    append(path, b"written since\n")
    assert [line.at for line in log.last(1)] == [None]


def test_lines_of_before_and_of_each_tick_are_told_apart(path: Path) -> None:
    append(path, b"earlier agent\n")
    log = LogFile(path, "stderr")
    at = datetime(2026, 2, 1, 9, tzinfo=UTC)
    for seconds, data in ((1, b"one\ntwo\nthr"), (2, b"ee\n"), (9, b"four\n")):
        append(path, data)
        read(log)
        log.mark(at + timedelta(seconds=seconds))
    assert [(line.at and (line.at - at).seconds, line.text) for line in log.last(9)] == [
        *((None, "earlier agent"), (1, "one"), (1, "two"), (2, "three"), (9, "four")),
    ]
    for number in range(3000):
        append(path, b"%d\n" % number)
        read(log)
        log.mark(at + timedelta(seconds=number))
    assert log.last(1)[0].at == at + timedelta(seconds=2999)
    assert log.last(2900)[0].at is None, "too long ago to be remembered"


def test_a_log_that_was_taken_away_hurts_nobody(path: Path) -> None:
    log = LogFile(path, "stderr")
    append(path, b"one\n")
    assert read(log) == ["one"]
    path.unlink()
    assert read(log) == []
    assert words(log, 5) == []
    assert not log.rotate(Allowance())
    append(path, b"two\n")
    assert read(log) == ["two"]


def test_more_than_can_be_looked_at_is_skipped_and_estimated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_BUDGET", output._CHUNK)
    log, allowance = LogFile(path, "stderr"), Allowance()
    append(path, b"0123456\n" * 200_000)
    assert len(read(log, allowance)) == 50
    assert allowance.dropped == 200_000 - 50
    append(path, b"on\n")
    allowance.refill(1.0)
    assert read(log, allowance) == ["on"]


def test_the_words_of_an_earlier_child_keep_their_times(path: Path) -> None:
    clock = FakeClock()
    logs = logs_of(path.with_name("own"), clock)
    append(path, b"of an earlier agent\n")
    times = []
    for number in range(3):
        logs.follow(LogFile(path, "stderr"))
        append(path, f"{number}\n".encode())
        logs.read()
        times.append(clock.now())
        clock.seconds += 1.0
    logs.follow(LogFile(path, "stderr"))
    assert [line.at for line in logs.last(9)] == [None, *times]
    empty(path)
    logs.follow(LogFile(path, "stderr"))
    append(path, b"anew\n")
    assert [(line.at, line.text) for line in logs.last(9)] == [(None, "anew")]


def test_a_secret_is_not_cut_in_two_where_a_line_is(path: Path) -> None:
    lines: list[LogLine] = []
    logs = logs_of(path.with_name("own"), FakeClock(), lines.append, nowhere, "hunter2-and-more")
    logs.follow(LogFile(path, "stderr"))
    append(path, b"x" * (output.LINE_LENGTH - 8) + b"hunter2-and-more" + b"y" * 3000 + b"\n")
    logs.read()
    shown = [*(line.text for line in lines), *(line.text for line in logs.last(9))]
    assert len(shown) == 2
    assert all("hunt" not in one and len(one) == output.LINE_LENGTH for one in shown)


def test_all_streams_of_an_instance_share_one_allowance(tmp_path: Path) -> None:
    clock = FakeClock()
    lines: list[LogLine] = []
    dropped: list[int] = []
    logs = logs_of(tmp_path / "role.log", clock, lines.append, dropped.append)
    out, err = tmp_path / "main.stdout", tmp_path / "main.stderr"
    logs.follow(LogFile(out, "stdout"), LogFile(err, "stderr"))
    append(out, b"o\n" * 40)
    append(err, b"e\n" * 40)
    assert not logs.read()
    assert len(lines) == 50
    assert {(line.role, line.instance, line.stream) for line in lines} == {
        ("record", "main", "stdout"),
        ("record", "main", "stderr"),
    }
    assert dropped == [30]
