"""Fleet runs the recording and streaming boxes of a conference.

`fleet-agent` runs on every capture box, a *station*; `fleet-manager` is one service; an MQTT
broker is between them; `fleet` is the operator's command. The words are explained in
`docs/design.md`, what travels in `docs/protocol.md`.

To understand the whole, follow one change, in this order:

1. `manager.conference`   the operator's TOML file -> what is wanted of each station (pure)
2. `manager.plan`         wanted now, wanted then -> what would change (pure)
3. `manager.store`        new revisions, durable, with their history
4. `manager.convergence`  what is wanted, what was acked -> whom to push to, when (pure)
5. `manager.session`      publishes the config
6. `agent.session`        hears it
7. `agent.accept`         in force, payload -> ack, and the config to save (pure)
8. `agent.reconcile`      running, wanted -> steps (pure)
9. `agent.supervisor`     takes the steps; `agent.instance` is one instance's life
10. `roles`               the work itself: `roles.record`
11. `manager.inventory`   what stations said -> what is so (pure); `manager.metrics` shows it

Below them: `mqtt` (the only module that speaks MQTT), `wire` (bytes <-> `model`), `topics`,
`strict` (JSON values -> classes, no coercion), `operations` (what `fleet` asks the manager).
"""

from fleet.version import __version__

__all__ = ["__version__"]
