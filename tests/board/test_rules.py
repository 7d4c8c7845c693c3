"""Rules, alerts and who is called: by the checkers of Prometheus and Alertmanager themselves."""

import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests import processes
from tests.board import boards
from tests.board.page import metrics, recorded
from tests.board.prometheus import rules
from tests.processes import ROOT

DIRECTORY = ROOT / "prometheus"
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
UNIT_TESTS = ("fleet.rules_test.yml", "fleet.hours_test.yml")
RUNBOOK = (ROOT / "docs/runbook.md").read_text()


def run(*argv: str) -> str:
    env = os.environ | {"GOGC": "400"}  # there is memory enough to be cleared seldom
    done = subprocess.run(argv, cwd=DIRECTORY, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def unit_tests() -> list[dict[str, Any]]:
    files = [yaml.load((DIRECTORY / name).read_text(), yaml.CSafeLoader) for name in UNIT_TESTS]
    tests = [test for file in files for test in file["tests"]]
    return [check for test in tests for check in test.get("alert_rule_test", [])]


def test_prometheus_takes_its_configuration_and_rules() -> None:
    run("promtool", "check", "config", "prometheus.yml")
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", "fleet.rules.yml")


@pytest.mark.long
def test_the_unit_tests_of_the_rules_pass() -> None:
    run("promtool", "test", "rules", *UNIT_TESTS)


def test_each_alert_has_a_unit_test_that_it_fires_and_one_that_it_does_not() -> None:
    fires = {check["alertname"] for check in unit_tests() if check["exp_alerts"]}
    holds_back = {check["alertname"] for check in unit_tests() if not check["exp_alerts"]}
    assert fires == ALERTS.keys()
    assert holds_back == ALERTS.keys() - {"Watchdog"}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_bad_it_is_what_to_do_and_where_that_is_written(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch(r"([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    _, section, rest = RUNBOOK.partition(f"\n### {name}\n")
    assert section, "no section in the runbook"
    section = rest.partition("\n### ")[0]
    assert [word for word in ("*Meaning.*", "*Look.*", "*Fix.*") if word not in section] == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_about_a_box_names_it(name: str) -> None:
    rule = ALERTS[name]
    if "station" in rule["expr"] and name != "CoreLost":
        assert "group_left (name, where, seat)" in rule["expr"]
        words = " ".join(rule["annotations"].values())
        assert "{{ $labels.name }}" in words
        assert "{{ $labels.room }}" in words or name == "StationConflict"
        if rule["labels"]["severity"] == "critical":
            assert "{{ $labels.name }} in {{ $labels.room }}" in words or name == "StreamDown"
            assert "with $labels.where }}" in words, "somebody has to walk there"


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert set(re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)) == ALERTS.keys()


def test_every_command_that_somebody_is_told_to_type_is_one() -> None:
    told = RUNBOOK + "".join(rule["annotations"]["description"] for rule in ALERTS.values())
    told = " ".join(told.split())
    commands = set(re.findall(r"(?:`|: )(fleet(?:-agent)?) ([a-z]+)", told))
    assert ("fleet", "status") in commands
    for program, command in commands:
        assert processes.run(program, command, "--help", env=os.environ).returncode == 0


def test_rules_read_only_metrics_that_are_listed() -> None:
    known = metrics().keys() | recorded() | {"ALERTS"}
    for rule in rules():
        assert boards.metric_names(rule["expr"]) <= known
    assert {rule["record"] for rule in rules() if "record" in rule} == recorded()


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=RecordingNotGrowing severity=critical room=hall1", "page"),
        ("alertname=CoreLost severity=critical", "page"),
        ("alertname=StationHot severity=warning room=hall1", "board"),
        ("alertname=Watchdog severity=none", "dead-mans-switch"),
    ],
)
def test_alerts_reach_who_they_are_for(labels: str, receiver: str) -> None:
    run("amtool", "check-config", "alertmanager.yml")
    command = ("amtool", "config", "routes", "test", "--config.file=alertmanager.yml")
    assert run(*command, f"--verify.receivers={receiver}", *labels.split())
