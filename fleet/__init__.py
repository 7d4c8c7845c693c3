"""Fleet runs the recording and streaming boxes of a conference.

`fleet-agent` runs on every capture box, a *station*; `fleet-manager` is one service; an MQTT
broker is between them; `fleet` is the operator's command. The words are explained in
`docs/design.md`, what travels in `docs/protocol.md`.

To understand the whole, follow one change, in this order:

1. `cli.commands.apply`         reads the operator's TOML file and sends it, over MQTT, to
2. `manager.requests`           which finds the operation: `manager.operations.applying`
3. `manager.conference.file`    the file -> what is wanted of each station (pure)
4. `manager.conference.plan`    wanted now, wanted then -> what would change (pure)
5. `manager.store.ledger`       new revisions, into `manager.store`: durable, with their history,
                                which `manager.store.past` notes and reads
6. `manager.rollouts.pusher`    sends them to the stations that `manager.rollouts.convergence`
                                names (pure)
7. `agent.session`              hears the config, and hands it to
8. `agent.config.received`      which decides, saves, answers, and then has it run
9. `agent.config.accept`        in force, payload -> ack, and the config to save (pure)
10. `agent.config.validate`     settings -> every problem, or all that is ready to be run (pure)
11. `agent.engine.reconcile`    running, wanted -> steps (pure)
12. `agent.engine.supervisor`   takes the steps; `agent.engine.instance` is one instance's life
13. `roles`                     the work itself: `roles.record`, a child of
                                `agent.processes.process`
14. `agent.session`             says what runs, and
15. `manager.stations.inventory`  what stations said -> what is so (pure); `manager.health` judges
                                it beside what is wanted (pure) by `manager.findings`, which
                                has each kind and threshold; `manager.report` shows both to
                                people (a station by `manager.station_status`, pure), and
                                `manager.web.metrics` to Prometheus

Each program begins in its `cli` (`fleet` in `cli.app`) and is put together there; the agent's
parts in `agent.run` (`agent.program` is its process), the manager's in `manager.run`. The
manager's messages go through `manager.session`: what stations say on to `manager.hearing`, what is
asked on to `manager.answering`; `manager.presence` says that this manager is here, `manager.newest`
knows whether its store is the newest, `manager.retained` what the broker may keep, and
`manager.echo` when all that was said before has been heard.
What a station sends goes out by `agent.outgoing`; what the box is and can do is noticed by
`agent.abilities`.
A change that goes to some stations at a time takes the way round by
`manager.rollouts.model` (pure) and `manager.rollouts.engine`.

Who may ask for what is judged in `manager.requests`, by `manager.people`; on the page people sign
in by `manager.web.signing_in`, and ask by `manager.web.doing`.

Beside that way the manager keeps the schedule fresh (`manager.schedule`), blanks streams for talks
that must not be streamed (`manager.optouts`), tells stations what people have stopped on them
(`manager.stopping`; kept there by `agent.stopping`), knows of each recording and judges each talk
(`manager.recordings`), and looks at every box when somebody asks (`manager.checking`, pure); its
own questions to stations go through `manager.asking`. `manager.access` lets boxes and people in;
a new box asks by `agent.joining`.
`manager.notifications` tells people who look at no screen.
A station's index of what it recorded, each segment read back, is `agent.recordings.keeper`.

Where a change belongs, if it is

- a setting of a role      the role's own file, `roles.record` and the like; a new role is one file
- a source, a target       `media.sources` (read by ffmpeg), `media.inputs` (captured by an ingest);
                           `media.targets` (streams), `media.storage` (copies)
- a command of the mixer   `programs.voctocore` (its words), `roles.mix`; by room and person
                           `manager.operations.calling` and `cli.mixer`
- a figure of the box      `agent.box.figures`, or `agent.box.hardware` if a driver has it
- what a box is asked      `station` (shapes), `agent.station_commands`; how a command is answered:
                           `agent.commands`; typed there: `agent.local.typed`
- a finding, a threshold   `manager.findings`; a look of `fleet check`: `manager.checking.looks`
- a metric of the manager  `manager.web.metrics`
- a command of `fleet`     a file in `cli.commands`; what the manager does for it: shapes in
                           `operations`, a file in `manager.operations`
- a column of status       `operations.stations`, `manager.station_status`; shown by `cli.view` and
                           `manager.web.page`
- a key of the file        `manager.conference.wanted` (shape), read by `manager.conference.file`,
                           or by `manager.conference.general` if it is of no station
- a schedule's format      `schedule.reading`
- a way to call people     nothing, if Apprise has it; else `manager.notifications.carrier`
- a way to be let in       `manager.access`, `agent.joining`
- a table                  `manager.store.tables`, with a migration; another database: beside
                           `manager.store.sqlite`, with what `manager.store.database` has for all
- a message on the wire    `model`, `topics`; heard by `manager.hearing` or `agent.session`

Below the programs, in the order of their layers (imports go down only):

- `contexts`    the operator's own file: where which fleet is
- `mqtt`        the only package that speaks MQTT: `mqtt.broker` (where it is), `mqtt.connection`,
                `mqtt.messages`, `mqtt.reasons` (why it refuses, in words)
- `settings`    files and passwords; `notify` (systemd), `guard` (tasks that live on), `explained`
                (a schema as people read it)
- `loop`        the event loop, and who holds it
- `roles`       the roles that come with fleet, and all that a role's author imports
- `media`       what media roles share; `programs` is what they run as children
- `bound`       where a secret may go
- `role`        what a role is, `host` what it is given
- `operations`  what `fleet` asks the manager
- `schedule`    which talk is where and when, and how it is read
- `wire`        bytes <-> `model`; `topics`, `schema` (classes -> JSON Schema; `schema.checking`:
                values against one), `station` (what everybody can ask a station), `sealed` (what
                is for one box alone), `joining` (how a new box is let in)
- `strict`      JSON values -> classes, no coercion: `strict.values`, `strict.unions`, and
                `strict.mistakes` as people read them; `model` (what travels), `kept` (files that
                outlive a power cut)
"""

from fleet.version import __version__

__all__ = ["__version__"]
