"""Which credential a box comes in with: the newer first, and the older where that is not taken."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from fleet.agent.credential import Joined, WayIn, forget, joined, keep_joined
from fleet.agent.settings import AgentSettings
from fleet.joining import StationCredential
from fleet.manager.access.authority import new_authority
from fleet.settings import BadSettings
from fleet.wire import encode

NOW = datetime(2026, 2, 1, tzinfo=UTC)
FIRST = StationCredential("b1", "station:b1", "first-password-of-it", NOW)
SECOND = evolve(FIRST, password="second-password-of-it", ends=NOW + timedelta(days=365))  # noqa: S106


@pytest.fixture
def settings(tmp_path: Path) -> AgentSettings:
    """Of a box that has joined."""
    keep_joined(
        tmp_path, Joined("mqtts://av.example.org:8883", "demo", FIRST), new_authority().certificate
    )
    return AgentSettings(state_dir=str(tmp_path))


def test_what_others_can_read_is_taken_from_them_and_said(
    settings: AgentSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "credential.json"
    kept.chmod(0o644)
    assert WayIn(settings).broker.password == FIRST.password
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "credential.json could be read by others; now it cannot" in caplog.text


def test_a_box_that_joined_needs_no_other_word(settings: AgentSettings) -> None:
    way = WayIn(settings)
    broker = way.next()
    assert (str(broker), broker.username) == ("mqtts://av.example.org:8883", "station:b1")
    assert (broker.password, broker.trusts_only_ca_file) == (FIRST.password, True)
    assert (way.prefix, way.station) == ("demo", "b1")


def test_what_the_settings_say_goes_before_it(settings: AgentSettings) -> None:
    way = WayIn(evolve(settings, broker="mqtt://10.0.0.2:1883", station="b9"))
    assert str(way.next()) == "mqtt://10.0.0.2:1883"
    assert (way.prefix, way.station) == ("fleet", "b9")


def test_one_that_has_not_joined_looks_for_it_at_each_attempt(
    settings: AgentSettings, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "new"
    elsewhere.mkdir()
    way = WayIn(AgentSettings(state_dir=str(elsewhere)))
    assert str(way.next()) == "mqtt://127.0.0.1:1883"
    assert "fleet token" in way.hint
    found = joined(tmp_path)
    assert found is not None
    keep_joined(elsewhere, found, new_authority().certificate)
    assert way.next().username == "station:b1"
    assert way.hint == ""


def test_both_are_tried_in_turn_and_what_was_taken_is_tried_first(settings: AgentSettings) -> None:
    way = WayIn(settings)
    assert way.next().password == FIRST.password
    way.let_in()
    assert way.keep(encode(SECOND)) == SECOND.ends
    assert [way.next().password for _ in range(3)] == [
        SECOND.password,
        FIRST.password,  # the broker may not know it yet
        SECOND.password,
    ]
    way.let_in()
    assert way.next().password == SECOND.password
    again = WayIn(settings)  # after a restart too
    assert [again.next().password for _ in range(2)] == [SECOND.password, FIRST.password]


def test_after_another_rotation_the_one_in_use_is_the_older(settings: AgentSettings) -> None:
    way = WayIn(settings)
    way.next()
    way.keep(encode(SECOND))
    way.next()
    way.let_in()
    third = evolve(SECOND, password="third-password-of-it")  # noqa: S106
    way.keep(encode(third))
    assert [way.next().password for _ in range(2)] == [third.password, SECOND.password]


def test_what_is_anothers_or_none_is_not_kept(settings: AgentSettings, tmp_path: Path) -> None:
    way = WayIn(settings)
    way.next()
    for wrong in (encode(evolve(SECOND, station="b2")), b"{}", b"garbage"):
        with pytest.raises(ValueError):  # noqa: PT011 (each says another thing)
            way.keep(wrong)
    assert not (tmp_path / "credential.next.json").exists()


def test_a_damaged_one_is_said_with_what_to_do(settings: AgentSettings, tmp_path: Path) -> None:
    (tmp_path / "credential.json").write_text("{")
    with pytest.raises(BadSettings, match="let it join again: fleet token"):
        WayIn(settings)


def test_a_box_that_is_nobodys_keeps_its_recordings(
    settings: AgentSettings, tmp_path: Path
) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings/a.ts").write_text("a talk")
    (tmp_path / "station").write_text("b1")
    assert set(forget(tmp_path)) == {"ca.pem", "credential.json", "station"}
    assert [one.name for one in tmp_path.iterdir()] == ["recordings"]
    assert (tmp_path / "recordings/a.ts").read_text() == "a talk"
