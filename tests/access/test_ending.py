"""What ends within 14 days is told, to everybody alike; what lasts is not."""

from datetime import datetime, timedelta

import pytest
from attrs import evolve

from fleet.manager.findings import ENDS_SECONDS, FindingKind, Judgement
from fleet.manager.findings.station import station_findings
from fleet.manager.findings.whole import certificate_finding, waiting_finding
from fleet.manager.fixes import ending, whole
from fleet.manager.stations.state import RoomUse
from fleet.manager.web.page.cards import board
from fleet.model import PresenceState
from fleet.operations.doctor import StationFacts
from fleet.operations.health import HealthLevel
from fleet.operations.joining import WaitingBox
from tests.page.test_cards import NOW, station

SOON = NOW + timedelta(seconds=ENDS_SECONDS - 1)
LATER = NOW + timedelta(seconds=ENDS_SECONDS)
FACTS = StationFacts(
    "b1", "cam", None, PresenceState.ONLINE, True, False, (), "1", None, (), None, None
)


@pytest.mark.parametrize(("ends", "told"), [(SOON, 1), (LATER, 0)])
def test_what_ends_within_14_days_is_told(ends: datetime, told: int) -> None:
    one = evolve(station("hall1-cam"), credential_ends=ends)
    found = [s.finding for s in station_findings(one, RoomUse(True, False), Judgement(NOW))]
    about = [one for one in found if one.kind == FindingKind.CREDENTIAL]
    assert len(about) == told
    assert [one.command for one in about] == ["fleet rotate hall1-cam"][:told]
    assert len(list(certificate_finding(ends, NOW))) == told
    assert len(list(ending(FACTS, ends, NOW))) == told


def test_what_is_over_says_so() -> None:
    (found,) = certificate_finding(NOW - timedelta(days=1), NOW)
    assert found.text == "the broker's certificate has ended: renew it"
    (fix,) = whole([found])
    assert fix.fix == "fleet-manager renew"


def test_a_box_that_waits_is_told_and_calls_nobody() -> None:
    assert list(waiting_finding([])) == []
    box = WaitingBox("ACDE-FGHK", "b1", "hall1-cam", None, (), None, NOW)
    (found,) = waiting_finding([box])
    assert found.level is HealthLevel.UNKNOWN
    assert found.text == "1 box waits to be let in"
    assert "fleet approve" in str(found.detail)
    assert "ACDE-FGHK" in str(found.detail)
    shown = board("DemoCon", {}, [], {}, True, NOW, [found])
    (note,) = shown.notes
    assert (note.text, note.command) == ("1 box waits to be let in", "fleet waiting")
