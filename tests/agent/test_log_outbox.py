"""Lines go out in payloads that fit, and what is left out is counted."""

from datetime import UTC, datetime

from fleet.agent.box.telemetry import MOST_WAITING, LogOutbox
from fleet.model import MAX_PAYLOAD, Log, LogLine
from fleet.wire import decode

AT = datetime(2026, 2, 1, tzinfo=UTC)


def line(text: str) -> LogLine:
    return LogLine(AT, "record", "main", "stderr", text)


def test_nothing_waits_nothing_goes() -> None:
    assert list(LogOutbox().take()) == []


def test_long_lines_are_split_over_payloads_in_order() -> None:
    outbox = LogOutbox()
    for n in range(1000):
        outbox.add(line(f"{n} " + "é" * 900))
    outbox.drop(7)
    payloads = list(outbox.take())
    assert len(payloads) > 1
    assert all(len(payload) <= MAX_PAYLOAD for payload in payloads)
    logs = [decode(payload, Log) for payload in payloads]
    numbers = [int(one.text.split()[0]) for log in logs for one in log.lines]
    assert numbers == list(range(1000))
    assert [log.dropped for log in logs] == [7, *[0] * (len(logs) - 1)]
    assert list(outbox.take()) == []


def test_what_piles_up_without_a_broker_is_dropped_and_counted() -> None:
    outbox = LogOutbox()
    for n in range(MOST_WAITING + 5):
        outbox.add(line(str(n)))
    logs = [decode(payload, Log) for payload in outbox.take()]
    assert sum(len(log.lines) for log in logs) == MOST_WAITING
    assert sum(log.dropped for log in logs) == 5


def test_only_dropped_lines_are_told_too() -> None:
    outbox = LogOutbox()
    outbox.drop(3)
    (payload,) = outbox.take()
    assert decode(payload, Log) == Log((), 3)
