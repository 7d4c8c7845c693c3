"""`fleet stop`, `start`, `restart`: on a terminal, in a script, and in all that tells of them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fleet.cli.app import app
from fleet.model import State
from fleet.operations.actions import ActedInstance, ActionResult
from tests.cli.conftest import Fleet
from tests.manager.station import conference
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger

ANN = {"FLEET_USERNAME": "ann"}
STATUS = "fleet/v1/station/cam1/status"


async def test_a_recording_is_stopped_and_started_by_hand_and_everybody_is_told(
    fleet: Fleet,
    manager: Program,
    broker: Mosquitto,
    programs: Programs,
    stranger: Stranger,
    tmp_path: Path,
) -> None:
    programs.agent(broker, "cam1", "interval = 1\n")
    file = tmp_path / "conference.toml"
    file.write_text(conference(("hall1-cam", "cam1")))
    applied = await fleet("apply", file, "--yes")
    assert applied.code == 0, applied.err
    await fleet("talk", "hall1", "on")
    which = ("hall1-cam", "record/main")

    # Whoever is asked and says no has stopped nothing; a script is told how to say yes.
    code, seen = await fleet.on_terminal("stop", *which, types="n\n", env=ANN, columns=200)
    assert code == 1
    assert "This ends 1 recording: hall1-cam record/main. A talk is on in hall1." in seen
    assert "fleet: nothing was done" in seen
    refused = await fleet("stop", *which, env=ANN)
    assert refused.code == 1
    assert "Nothing was done; if that is meant: fleet stop hall1-cam record/main --yes" in (
        refused.err
    )
    running = stranger.latest(STATUS)["roles"]["record"]["main"]
    assert running["state"] in ("starting", "running")

    code, seen = await fleet.on_terminal(
        *("stop", *which, "--for", "45m", "--why", "a fire drill"),
        types="y\n",
        env=ANN,
        columns=200,
    )
    assert code == 0, seen
    assert "hall1-cam record/main: stopped by ann until " in seen
    assert ": a fire drill" in seen
    shown = await fleet("status")
    assert shown.code == 0, "a stop is no alarm"
    assert "stopped by ann until" in shown.out
    said = json.loads((await fleet("status", "--json")).out)["stations"][0]
    assert [one["why"] for one in said["stops"]] == ["a fire drill"]
    wanted = await fleet("show", "hall1-cam")
    assert "# record/main: stopped by ann until" in wanted.out
    waited = await fleet("wait")
    assert waited.code == 0
    assert "hall1-cam record/main stays stopped by ann until" in waited.err
    again = await fleet("restart", *which)
    assert again.code == 1
    assert "record/main is stopped by ann" in again.err
    assert "fleet start hall1-cam record/main ends that" in again.err
    looked = await fleet("check", "--json", timeout=60)
    assert not [one for one in json.loads(looked.out)["troubles"] if "record/main" in one["text"]]

    started = await fleet("start", "hall1-cam", "record", env={"FLEET_USERNAME": "ben"})
    assert started.code == 0, started.err
    assert "hall1-cam record/main: running" in started.err
    nobody = await fleet("start", *which)
    assert nobody.code == 2
    assert "nobody has stopped record/main on hall1-cam (record/main is running)" in nobody.err
    restarted = await fleet("restart", *which)
    assert (restarted.code, restarted.err) == (0, "hall1-cam restarts record/main\n")
    told = json.loads((await fleet("history", "hall1-cam", "--json")).out)["events"]
    did = [(one["kind"], one["by"]) for one in told if one["kind"] in ("stop", "start", "restart")]
    assert did == [("stop", "ann"), ("start", "ben"), ("restart", "anonymous")]
    wrong = await fleet("stop", "hall1-cam", "record/")
    assert (wrong.code, "is not a ROLE[/INSTANCE], such as record/main" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("state", "code"),
    [(State.RUNNING, 0), (State.COMPLETED, 0), (State.FAILED, 1), (State.BACKOFF, 1)],
)
def test_a_script_learns_that_what_it_started_does_not_run(
    monkeypatch: pytest.MonkeyPatch, state: State, code: int
) -> None:
    became = ActionResult("hall1-cam", (ActedInstance("stream", "main", state, None, done=True),))
    monkeypatch.setattr("fleet.cli.commands.start.ask", lambda *_: became)
    found = CliRunner().invoke(app, ["start", "hall1-cam", "stream"])
    assert (found.exit_code, found.stderr) == (code, f"hall1-cam stream/main: {state.value}\n")
