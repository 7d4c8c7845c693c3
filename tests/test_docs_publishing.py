"""What docs/publishing.md gives to other programs does what it says."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from fleet.media.segments import public_name
from fleet.operations.recordings import CutListResult
from fleet.wire import dumps, to_json
from tests.recordings.test_cutting import lists, mark
from tests.recordings.test_receipts import at, kept

PAGE = (Path(__file__).parents[1] / "docs" / "publishing.md").read_text()
ROOT = "/srv/recordings"
OPENED = datetime(2026, 2, 1, 9, 30, 5, tzinfo=UTC)
NAME = public_name("hall1", "hall1-mix", "main", OPENED, ".ts")


def code(language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found[number]


def test_sreview_reads_room_and_time_from_our_names() -> None:
    settings = dict(re.findall(r"^\$(\w+) = '(.*)';$", code("perl"), re.MULTILINE))
    url = f"{ROOT}/hall1/{NAME}"
    assert Path(url).match(settings["inputglob"])
    assert not Path(url.replace("-mix-main-", "-cam-main-")).match(settings["inputglob"])
    found = re.search(settings["parse_re"].replace("(?<", "(?P<"), url)
    assert found is not None
    assert " ".join(found.groupdict().values()) == "hall1 2026 02 01 09 30 05"
    assert settings["file_timezone"] == "UTC"


def test_fuse_ts_gets_names_in_the_conferences_time(tmp_path: Path) -> None:
    (tmp_path / "hall1").mkdir()
    (tmp_path / "hall1" / NAME).write_bytes(b"recorded")
    script = code("sh", 2).replace(ROOT, str(tmp_path))
    subprocess.run(["bash", "-euc", script], check=True)
    (link,) = (tmp_path / "crs/hall1").iterdir()
    assert link.name == "hall1-2026-02-01_10-30-05.ts"
    assert link.read_bytes() == b"recorded"


def test_crs_tracker_gets_the_points_of_the_marks() -> None:
    several = [kept(-5, 10), kept(10, 31)]
    for one, opened in zip(several, (at(-5), at(10)), strict=True):
        object.__setattr__(one.segment, "file", public_name(None, "m", "main", opened, ".ts"))
        object.__setattr__(one.segment, "frames", 25 * 900)
    found = CutListResult(tuple(lists(several, mark("start", 1), mark("end", 29))), at(60))
    done = subprocess.run(
        [sys.executable, "-c", code("python")],
        input=dumps(to_json(found)).decode(),
        capture_output=True,
        text=True,
        check=True,
    )
    said = dict(one.split("=", 1) for one in done.stdout.splitlines() if not one.startswith("#"))
    assert said["Record.Room"] == "hall1"
    assert said["Record.Cutinseconds"] == "360.000"
    assert said["Record.Cutdiffseconds"] == "1680.000"
    assert int(said["Record.Cutout"]) - int(said["Record.Cutin"]) == 1680 * 25
    assert "st=2026-02-01_12-55-00 numfiles=2 fps=25" in said["Record.MountCmd"]
    assert json.loads(dumps(to_json(found)))["lists"][0]["pieces"][0]["files"][0]["rate"] == 25
