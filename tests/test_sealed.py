import os
from pathlib import Path

import pytest

from fleet.sealed import BadKey, BoxKey, CannotUnseal, seal


def test_what_is_sealed_to_a_box_is_read_by_it_alone_and_only_as_it_was(tmp_path: Path) -> None:
    box, other = BoxKey.kept(tmp_path / "key"), BoxKey.new()
    sealed = seal(box.public, b"hunter2")
    assert "hunter2" not in sealed
    assert sealed != seal(box.public, b"hunter2")
    assert box.unseal(sealed) == b"hunter2"
    for wrong in (seal(other.public, b"x"), sealed[:-8] + "AAAAAAA=", sealed[:10], "", "é", "="):
        with pytest.raises(CannotUnseal):
            box.unseal(wrong)
    with pytest.raises(CannotUnseal, match="at most"):
        box.unseal("A" * 70_000)


@pytest.mark.parametrize("public", ["", "AAAA", "no key", "é" * 44, "A" * 44])
def test_what_is_no_key_is_said_to_be_none(public: str) -> None:
    with pytest.raises(BadKey, match="no key of a box"):
        seal(public, b"x")


def test_a_key_stays_the_same_is_its_owners_alone_and_survives_a_damaged_file(
    tmp_path: Path,
) -> None:
    file = tmp_path / "key"
    first = BoxKey.kept(file)
    assert BoxKey.kept(file).public == first.public
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(os.urandom(7))
    assert BoxKey.kept(file).public != first.public
    assert (tmp_path / "key.damaged").exists()
