"""The operator's command `fleet`.

`app` has the global options and the commands, each a file of `commands`; `options` are the global
ones, which say how to reach all else. `fleet.contexts` is the operator's own file, `terminal` where
output and errors go.

`connection` is the way to the manager; `station` knows which station is meant, `calling` has it do
something, `registered` knows what it can run and has. `conference` reads the file and shows a plan,
`rolling` follows what the manager rolls out. `sync` and `view` show how stations are, `folding`
which of them are one line on a terminal, `happenings` what became different, `calm` how much of
that. `examine` looks at the broker, and `fixes` says what to do about what was found.

`arguments` reads what people type, `completion` knows what they may type next; `tab`, with `taken`
and `names`, answers most of that before Typer is imported.
"""

import gc
import os
from typing import Final

from fleet.cli.tab import COMPLETE, answer, leave

__all__ = ["main"]

_SELDOM: Final = 50_000
"""New objects after which garbage is looked for; 700 by itself."""


def main() -> None:
    """Run `fleet`."""
    code = answer(os.environ)
    if code is not None:
        leave(code)
    # What is imported is no garbage: to look for it there took a quarter of a short command.
    gc.set_threshold(_SELDOM)
    from fleet.cli.app import main as run

    try:
        run()
    except SystemExit as end:
        if os.environ.get(COMPLETE, "").startswith("complete_"):
            leave(end.code if isinstance(end.code, int) else 0)
        raise
    finally:
        gc.freeze()
