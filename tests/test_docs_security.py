"""The page on security names a test for each line, and what is not defended."""

import re

from tests.processes import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
LINES = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)


def test_each_line_has_a_number_and_a_test_that_is_there() -> None:
    assert len(LINES) > 25
    assert [int(number) for number, _ in LINES] == list(range(1, len(LINES) + 1))
    for number, text in LINES:
        tests = re.findall(r"`(tests/[\w/]+\.py)`", text)
        assert tests, f"line {number} names no test"
        assert [one for one in tests if not (ROOT / one).is_file()] == []


def test_nothing_stands_there_without_a_number_but_what_is_not_defended() -> None:
    defended = PAGE.partition("\n## What is not defended\n")
    assert not re.search(r"^- ", defended[0], re.MULTILINE)
    assert len(re.findall(r"^- ", defended[2], re.MULTILINE)) > 5
    assert "\n## How to report\n" in defended[2]
