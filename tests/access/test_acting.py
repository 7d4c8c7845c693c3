"""A person of one room, whom the broker lets command no box, acts there and nowhere else."""

import re
import shlex
from pathlib import Path

from tests.access.conftest import Server
from tests.access.test_people import SAID, types
from tests.processes import until

CONFERENCE = """
[rooms.hall1]
[rooms.hall2]
[stations.cam]
id = "b1"
room = "hall1"
roles.record.main = {source = {type = "test", size = "160x90", rate = 5}}
[stations.other]
id = "b2"
room = "hall2"
roles.record.main = {source = {type = "test", size = "160x90", rate = 5}}
"""


async def test_a_rooms_person_stops_restarts_and_reads_through_the_manager(
    server: Server, tmp_path: Path
) -> None:
    await server.start()
    first, home = Path(server.env["XDG_CONFIG_HOME"]), tmp_path / "ann"
    joining = server.join(await server.token("--uses", "1"), "b1", "--station", "b1")
    assert await joining.ended() == 0
    agent = server.agent("b1")
    await agent.says("connected, as station b1")
    (tmp_path / "conference.toml").write_text(CONFERENCE)
    await server.says("apply", str(tmp_path / "conference.toml"), "--yes")
    made = types(server, first, "user", "add", "ann", "--rights", "room:hall1", stdin=f"{SAID}\n")
    found = re.search(r"they type: fleet (login .*)", made.stderr)
    assert found, made.stderr
    assert types(server, home, *shlex.split(found[1]), stdin=f"{SAID}\n").returncode == 0
    recordings = server.box("b1") / "recordings"
    await until(lambda: list(recordings.glob("*.ts")), what="a recording")

    hers = {**server.env, "XDG_CONFIG_HOME": str(home)}
    watching = server.programs.start("fleet", "watch", "hall1", name="watching", **hers)
    await watching.says("watching 1 station")
    for words, said in (
        (("stop", "cam", "record/main", "--yes", "--for", "1h"), "cam record/main: stopped by ann"),
        (("start", "cam", "record/main"), "cam record/main: running"),
        (("restart", "cam", "record/main"), "cam restarts record/main"),
        (("call", "cam", "station", "info"), "hostname"),
    ):
        done = types(server, home, *words)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout + done.stderr
        if words[0] == "stop":
            await watching.says("record/main stopped by ann")
    lines = types(server, home, "logs", "cam", "record")
    assert lines.returncode == 0, lines.stderr
    for words in (
        ("stop", "other", "record", "--yes"),
        ("start", "other", "record"),
        ("maintenance", "other", "on"),
        ("mark", "hall2", "cut"),
    ):
        refused = types(server, home, *words)
        assert refused.returncode != 0
        assert "ann may not do that in hall2" in refused.stderr
    past = await server.says("history", "b1")
    assert re.findall(r"(stop|start|restart) +- +ann", past) == ["stop", "start", "restart"]

    # Without a manager, what the box last said is still seen by whom the broker shows it.
    assert server.manager is not None
    server.manager.kill()
    seen = types(server, home, "doctor")
    assert "stations: 1 online, as they last said" in seen.stderr, seen.stderr
