"""Fleet runs the recording and streaming boxes of a conference.

`fleet-agent` runs on every capture box, a *station*; `fleet-manager` is one service; an MQTT
broker is between them; `fleet` is the operator's command. The words are explained in
`docs/design.md`, what travels in `docs/protocol.md`.

To understand the whole, follow one change, in this order:

1. `cli.apply`            reads the operator's TOML file and sends it, over MQTT, to
2. `manager.requests`     which finds the operation: `manager.operations.applying`
3. `manager.conference`   the file -> what is wanted of each station (pure)
4. `manager.plan`         wanted now, wanted then -> what would change (pure)
5. `manager.ledger`       new revisions, into `manager.store`: durable, with their history
6. `manager.pusher`       sends them to the stations that `manager.convergence` names (pure)
7. `agent.session`        hears the config, and hands it to
8. `agent.configs`        which decides, saves, answers, and then has it run
9. `agent.accept`         in force, payload -> ack, and the config to save (pure)
10. `agent.validate`      settings -> every problem, or all that is ready to be run (pure)
11. `agent.reconcile`     running, wanted -> steps (pure)
12. `agent.supervisor`    takes the steps; `agent.instance` is one instance's life
13. `roles`               the work itself: `roles.record`, a child of `agent.process`
14. `agent.session`       says what runs, and
15. `manager.inventory`   what stations said -> what is so (pure); `manager.report` joins it with
                          what is wanted, for people, and `manager.metrics` for Prometheus

Each program begins in its `cli` (`fleet` in `cli.app`) and is put together there; the agent's
rooms in `agent.run`, the manager's messages go through `manager.session`. A change that goes to
some stations at a time takes the way round by `manager.rollout` (pure) and `manager.rolling`.

Below them: `mqtt` (the only module that speaks MQTT), `settings` (files and passwords), `notify`
(systemd), `wire` (bytes <-> `model`), `topics`, `schema` (classes -> JSON Schema), `operations`
(what `fleet` asks the manager), `station` (what everybody can ask a station), `strict` (JSON
values -> classes, no coercion).
"""

from fleet.version import __version__

__all__ = ["__version__"]
