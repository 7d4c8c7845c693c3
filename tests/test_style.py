"""Style, types and the import contract hold, looked at while the other tests wait."""

import os
import subprocess

import pytest

from tests.processes import ROOT


@pytest.mark.long
@pytest.mark.timeout(600)  # without what mypy keeps, all is looked at anew
def test_make_check_finds_nothing() -> None:
    # What is missing is there: the tests run. Nor is this a part of another run of `make`.
    argv = ["make", "--no-print-directory", "--old-file", "parts", "check"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "Success: no issues found" in done.stdout
