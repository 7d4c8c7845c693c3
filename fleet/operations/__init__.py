"""What operators ask the manager, and what it answers: arguments and results by operation.

Private to one release: `fleet` and `fleet-manager` of the same version speak it, over
`manager/request/<caller>/<operation>` and `manager/reply/<caller>`. A refusal is an `Error`;
mistakes in a conference file are its problems, `path` being the dotted path in the file.

A module for what belongs together: `stations` (and `health`, `doctor`, `check`), `plans`,
`rollouts`, `history`, `schedule`, `recordings`, `actions`, `secrets`, `joining`, `people`,
`notifications`. Whoever types a command waits until all that it needs has been read, so that each
is imported from where it stands.
"""
