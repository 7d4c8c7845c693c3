"""The operator's command `fleet`, a file a command.

`connection` is the way to the manager; `plan`, `apply`, `wait` and `status` are what can be
asked; `sync` judges and `view` shows what is answered. `rolling` follows what the manager rolls
out, for `apply` and `rollback`.
"""

from fleet.cli.app import main

__all__ = ["main"]
