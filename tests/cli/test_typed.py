"""What a command says to type next has every option that was given."""

import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.cli.typed import again, instead

WORDS = st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=6))


@pytest.mark.parametrize(
    ("typed", "same", "other"),
    [
        ("apply f.toml --room hall1", "apply f.toml --room hall1 --yes", "validate f.toml"),
        (
            "--broker mqtt://x:1 --username=ann apply f.toml",
            "--broker mqtt://x:1 --username=ann apply f.toml --yes",
            "--broker mqtt://x:1 --username=ann validate f.toml",
        ),
        ("apply -m 'doors open' -- -f", "apply -m 'doors open' --yes -- -f", "validate f.toml"),
        ("--username apply apply f", "--username apply apply f --yes",
         "--username apply validate f.toml"),
    ],
)  # fmt: skip
def test_every_option_stays(
    typed: str, same: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/fleet", *shlex.split(typed)])
    assert again("--yes") == f"fleet {same}"
    assert instead("validate", "f.toml") == f"fleet {other}"


@given(WORDS)
def test_a_shell_reads_what_was_typed(words: list[str]) -> None:
    words = [word for word in words if word != "--"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fleet", "apply", *words])
        assert shlex.split(again("--yes")) == ["fleet", "apply", *words, "--yes"]
