"""docs/protocol.md says what the programs send: no field less, none more."""

import re
from typing import Any

from tests.processes import Mosquitto, Programs
from tests.wire import page

PAYLOAD_FREE = "station/<id>/thumbnail/<role>/<instance>"
OPAQUE = {"settings", "commands", "arguments"}
"""Keys under which every role has fields of its own."""


def shape(value: Any, key: str = "") -> Any:
    """The fields of a payload with the kinds of their values; null may be anything else."""
    if key in OPAQUE:
        return "anything"
    match value:
        case dict():
            return {k: shape(v, k) for k, v in value.items()}
        case list():
            shapes: list[Any] = []
            for one in value:
                if (found := shape(one)) not in shapes:
                    shapes.append(found)
            return shapes
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case None:
            return "null"
    return "a string"


async def test_the_page_has_exactly_the_fields_that_the_programs_send(
    broker: Mosquitto, programs: Programs
) -> None:
    shown = {of: one for of, one in page.payloads().items() if not of.startswith("join/")}
    captured = await page.capture(broker, programs)
    for heading, payload in shown.items():
        sent = page.shortened(heading, captured[heading])
        assert shape(payload) == shape(sent), (
            f"{heading} is not what is sent now: python -m tests.wire.page renews the page"
        )
    assert set(captured) == set(shown), "a topic that the page does not show, or the reverse"


def test_every_topic_has_its_section_its_row_and_every_field_its_words() -> None:
    text = page.PAGE.read_text()
    sections = dict(
        re.findall(r"^### `([^`]+/[^`]+)`\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    )
    rows = re.findall(r"^\| \[`([^`]+)`\]\(#(\S+)\)", text, re.MULTILINE)
    assert [heading for heading, _ in rows] == list(dict.fromkeys(one for one, _ in rows))
    assert {heading for heading, _ in rows} == set(sections)
    for heading, anchor in rows:
        assert anchor == re.sub(r"[^a-z]", "", heading), "a link that leads nowhere"
    assert set(page.payloads()) == set(sections) - {PAYLOAD_FREE}
    for heading, payload in page.payloads().items():
        words = re.sub(r"```json.*?```", "", sections[heading], flags=re.DOTALL)
        if heading in ("manager/presence", "manager/request/<caller>/<operation>"):
            continue  # as a station's; private
        for field in payload:
            assert re.search(rf"`{field}(\[\])?`", words), f"{heading}: {field} is not explained"
