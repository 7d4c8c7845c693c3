"""What a person types where a time or an id is expected."""

import pytest
import typer

from fleet.cli.arguments import seconds
from fleet.cli.sync import near
from fleet.model import is_station_id, meant_station_id


@pytest.mark.parametrize(
    ("text", "value"),
    [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86400), ("366d", 31622400)],
)
def test_a_time_has_a_unit(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("90", "90 wants a unit: 90s, 90m, 90h or 90d"),
        ("1.5", "wants a unit"),
        ("0m", "expected a time"),
        ("-5m", "expected a time"),
        ("5 m", "expected a time"),
        ("m", "expected a time"),
        ("367d", "more than a year"),
        ("9" * 400 + "d", "more than a year"),
    ],
)
def test_a_time_that_is_none_is_told(text: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        seconds(text)


@pytest.mark.parametrize(
    "text",
    [
        "B8:27:EB:00:00:A1",
        "b8-27-eb-00-00-a1",
        "B8 27 EB 00 00 A1",
        "b827.eb00.00a1",
        "B827EB0000A1",
    ],
)
def test_a_cards_address_however_it_is_written_is_one_id(text: str) -> None:
    assert meant_station_id(text) == "b827eb0000a1"
    assert near(text, ["hall1-cam"], ["b827eb0000a1"]) == "did you mean b827eb0000a1?"


@pytest.mark.parametrize(("text", "meant"), [("Hall1 Cam", "hall1-cam"), ("...", None), ("", None)])
def test_what_is_meant_is_an_id_or_nothing(text: str, meant: str | None) -> None:
    assert meant_station_id(text) == meant
    assert meant is None or is_station_id(meant)
