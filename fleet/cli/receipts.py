"""Receipts of talks as people read them. Pure."""

from collections import Counter
from collections.abc import Iterator

from fleet.cli.talks import opted_out
from fleet.cli.view import TableRow, clean, zoned
from fleet.operations.recordings import Receipt, RecordingsResult
from fleet.operations.stations import StatusResult

_NOT_YET = "-"


def receipt_rows(found: RecordingsResult) -> Iterator[TableRow]:
    """A line a talk, and beneath it why it is not green."""
    for one in found.receipts:
        begin, end = (zoned(at, found.timezone) for at in (one.talk.begin, one.talk.end))
        best = one.coverage[0] if one.coverage else None
        cells = (
            one.verdict or _NOT_YET,
            f"{begin:%Y-%m-%d}",
            f"{begin:%H:%M}-{end:%H:%M}",
            one.room,
            f"{best.share:.1%}" if best else _NOT_YET,
            f"{best.station} {best.instance}" if best else _NOT_YET,
            f"{one.talk.title}{opted_out(one.talk)}",
        )
        beneath = (clean(one.why),) if one.verdict in ("yellow", "red") else ()
        yield TableRow(tuple(map(clean, cells)), beneath)


def verdict_lines(found: StatusResult) -> Iterator[str]:
    """How many talks of today are there, and a line for each that is not."""
    shown = {one.room for one in found.stations}
    there = [one for one in found.receipts if one.room in shown]
    counts = Counter[str](one.verdict for one in there)
    if there:
        words = ("green", "yellow", "red")
        told = ", ".join(f"{counts[word]} {word}" for word in words if counts[word])
        yield f"talks of today that are over: {told}"
    for one in there:
        if one.verdict == "red":
            yield clean(f'red: "{one.title}" in {one.room}: {one.why}; fleet receipt {one.guid}')


def receipt_lines(one: Receipt, timezone: str) -> Iterator[str]:
    """All that is known of one talk."""
    begin, end = (zoned(at, timezone) for at in (one.talk.begin, one.talk.end))
    yield clean(f"{one.talk.title}{opted_out(one.talk)}")
    yield clean(f"{one.room}, {begin:%a %Y-%m-%d %H:%M}-{end:%H:%M %Z}, {one.talk.guid}")
    yield clean(f"{one.verdict or 'not decided'}: {one.why}")
    for it in one.coverage:
        copied = "" if it.copied is None else f", {it.copied} of {len(it.files)} copied"
        yield clean(f"  {it.share:.1%} by {it.station} {it.instance}{copied}")
        for gap in it.gaps:
            start, stop = (zoned(at, timezone) for at in (gap.begin, gap.end))
            yield clean(f"    missing {start:%H:%M:%S} to {stop:%H:%M:%S}: {gap.why}")
        for text in it.findings:
            yield clean(f"    {text}")
        for file in it.files:
            yield clean(f"    {file}")
    for mark in one.marks:
        note = f" ({mark.note})" if mark.note else ""
        yield clean(f"  {mark.kind} at {zoned(mark.at, timezone):%H:%M:%S} by {mark.by}{note}")
