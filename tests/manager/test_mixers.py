"""What a manager knows of who had a mixer show what."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fleet.manager.mixers import Mixers
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import Deed
from fleet.manager.store.ledger import Ledger
from fleet.operations.actions import MixerShown
from tests.manager.conftest import Place


async def test_who_had_it_live_or_blank_and_who_cut_last_is_known_after_a_restart(
    place: Place,
) -> None:
    begun = datetime.now(UTC) - timedelta(hours=1)
    ledger = await Ledger.open(place.open)
    for minute, (kind, by, instance) in enumerate(
        [
            ("live", "vera", "main"),
            ("cut", "ann", "main"),
            ("blank", "olaf", "main"),
            ("blank", "eve", "other"),
        ]
    ):
        at = begun + timedelta(minutes=minute)
        await ledger.do(Deed(at, kind, by, f"mix/{instance}", "mix1"))
    await ledger.close()

    again = await Ledger.open(place.open)
    asker: Any = None
    mixers = Mixers(again, Inventory(), asker)
    for live, named in (False, "olaf"), (True, None):
        await mixers.recall("mix1", "main")
        mixers.saw("mix1", "main", MixerShown("fullscreen", "cam", "cam", "cam", live, {}))
        now = mixers.now("mix1", "main")
        assert now is not None
        assert (now.live_by, now.cut_by) == (named, "ann"), "of what voctogui did nobody is named"
    await again.close()
