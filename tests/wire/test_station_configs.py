"""What a station answers to every kind of config, and that a wrong one changes nothing."""

import json
from typing import Any

import pytest

from tests.processes import Programs
from tests.wire.sides import ACK, RECORD, Boss, Json, config, records, writers


def raw(revision: int, text: str) -> bytes:
    """A config whose `roles` are `text`, as it is."""
    head = f'{{"revision":{revision},"at":null,"by":null,"roles":'
    return head.encode() + text.encode() + b"}"


def one(revision: int, settings: str) -> bytes:
    return raw(revision, f'{{"record":{{"main":{settings}}}}}')


UNREADABLE = {
    "no JSON": b"revision 7",
    "cut off": b'{"revision": 7, "at": null, "by": null, "roles": {',
    "something after": b'{"revision": 7, "at": null, "by": null, "roles": {}} {}',
    "white space": b"  \n",
    "a list": b"[]",
    "a number": b"7",
    "a string": b'"7"',
    "null": b"null",
    "true": b"true",
    "no UTF-8": b'{"revision": 7, "at": null, "by": "\xff", "roles": {}}',
    "half a surrogate pair": b'{"revision": 7, "at": null, "by": "\\ud800", "roles": {}}',
    "a key twice": b'{"revision": 7, "revision": 8, "at": null, "by": null, "roles": {}}',
    "a key of the settings twice": one(7, '{"segment_seconds": 1, "segment_seconds": 2}'),
    "NaN": one(7, '{"segment_seconds": NaN}'),
    "Infinity": one(7, '{"segment_seconds": -Infinity}'),
    "1e999": one(7, '{"segment_seconds": 1e999}'),
    "nested deep": one(7, "[" * 20_000 + "]" * 20_000),
    "nested deep and open": b"[" * 20_000,
    "nested objects": one(7, '{"a":' * 1_000 + "1" + "}" * 1_000),
    "too long": one(7, '{"x": "' + "x" * 256 * 1024 + '"}'),
    "no revision": b'{"at": null, "by": null, "roles": {}}',
    "revision null": b'{"revision": null, "at": null, "by": null, "roles": {}}',
    "revision true": b'{"revision": true, "at": null, "by": null, "roles": {}}',
    "revision a string": b'{"revision": "7", "at": null, "by": null, "roles": {}}',
    "revision 0": b'{"revision": 0, "at": null, "by": null, "roles": {}}',
    "revision -1": b'{"revision": -1, "at": null, "by": null, "roles": {}}',
    "revision 7.0": b'{"revision": 7.0, "at": null, "by": null, "roles": {}}',
    "revision 7.5": b'{"revision": 7.5, "at": null, "by": null, "roles": {}}',
    "revision 1e300": b'{"revision": 1e300, "at": null, "by": null, "roles": {}}',
    "revision huge": b'{"revision": 1' + b"0" * 400 + b', "at": null, "by": null, "roles": {}}',
    "revision endless": b'{"revision": 1' + b"0" * 5_000 + b', "at": null, "by": null}',
    "revision a list": b'{"revision": [7], "at": null, "by": null, "roles": {}}',
}


async def test_unreadable_payloads_are_each_rejected_with_null_and_touch_nothing(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(3, records("main"))
    before = writers(programs)
    wrong = []
    for name, payload in UNREADABLE.items():
        ack = await boss.ask(payload)
        problem = ack["error"]["problems"][0]
        sound = (
            ack["revision"] is None
            and ack["result"] == "rejected"
            and ack["error"]["type"] == problem["type"] == "InvalidConfiguration"
            and (problem["role"], problem["instance"], problem["path"]) == (None, None, None)
            and problem["message"]
            and ack["in_force"] == {"revision": 3, "roles": records("main")}
        )
        if not sound:
            wrong.append((name, ack))
    assert not wrong
    ack = await boss.ask(config(3, records("main")))
    assert (ack["revision"], ack["result"], ack["error"]) == (3, "accepted", None)
    assert writers(programs) == before


BROKEN: dict[str, tuple[Any, str | None, str | None]] = {
    # what is wrong: (what is put into a sound config, role, instance)
    "roles a list": ({"roles": []}, None, None),
    "roles a string": ({"roles": "record"}, None, None),
    "roles null": ({"roles": None}, None, None),
    "a role no table": ({"roles": {"record": ["main"]}}, "record", None),
    "a role null": ({"roles": {"record": None}}, "record", None),
    "settings a list": ({"roles": {"record": {"main": []}}}, "record", "main"),
    "settings a number": ({"roles": {"record": {"main": 5}}}, "record", "main"),
    "settings null": ({"roles": {"record": {"main": None}}}, "record", "main"),
    "at a number": ({"at": 5}, None, None),
    "at no time": ({"at": "yesterday"}, None, None),
    "at not in UTC": ({"at": "2026-02-01T09:30:00+01:00"}, None, None),
    "by a number": ({"by": 5}, None, None),
    "name a number": ({"name": 5}, None, None),
    "room a list": ({"room": ["hall1"]}, None, None),
}


async def test_wrong_envelopes_are_rejected_under_their_number(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(3, records("main"))
    before = writers(programs)
    wrong = []
    for name, (change, role, instance) in BROKEN.items():
        ack = await boss.ask(config(9, records("main", segment_seconds=5)) | change)
        problem = ack["error"]["problems"][0] if ack["error"] else {}
        sound = (
            (ack["revision"], ack["result"]) == (9, "rejected")
            and ack["error"]["type"] == problem["type"] == "InvalidConfiguration"
            and (problem["role"], problem["instance"]) == (role, instance)
            and ack["in_force"] == {"revision": 3, "roles": records("main")}
        )
        if not sound:
            wrong.append((name, ack))
    for missing in ("at", "by", "roles"):
        payload = config(9, records("main", segment_seconds=5))
        del payload[missing]
        ack = await boss.ask(payload)
        if (ack["revision"], ack["result"]) != (9, "rejected"):
            wrong.append((f"no {missing}", ack))
    for instance in ("", "a b", "-a", "x" * 65, "a/b", "é"):
        ack = await boss.ask(config(9, records(instance)))
        if (ack["revision"], ack["result"]) != (9, "rejected"):
            wrong.append((f"an instance called {instance!r}", ack))
    assert not wrong
    assert writers(programs) == before


SETTINGS: dict[str, tuple[Json, list[str]]] = {
    # settings of a record: the JSON Pointers of what is wrong with them
    "a string for a number": ({"segment_seconds": "5"}, ["/segment_seconds"]),
    "a boolean for a number": ({"segment_seconds": True}, ["/segment_seconds"]),
    "a fraction": ({"segment_seconds": 1.5}, ["/segment_seconds"]),
    "a whole float": ({"segment_seconds": 60.0}, ["/segment_seconds"]),
    "too small": ({"segment_seconds": 0}, ["/segment_seconds"]),
    "too big": ({"segment_seconds": 86401}, ["/segment_seconds"]),
    "null": ({"segment_seconds": None}, ["/segment_seconds"]),
    "an unknown setting": ({"segment_second": 5}, ["/segment_second"]),
    "an unknown setting with / and ~": ({"a/b~c": 5}, ["/a~1b~0c"]),
    "a source of no kind": ({"source": {"type": "tape"}}, ["/source"]),
    "a source that is no table": ({"source": "test"}, ["/source"]),
    "deep inside": ({"source": {"type": "test", "rate": 0}}, ["/source/rate"]),
    "two things": (
        {"segment_seconds": 0, "source": {"type": "test", "colour": "red"}},
        ["/segment_seconds", "/source/colour"],
    ),
}


async def test_every_wrong_setting_is_named_by_its_json_pointer(boss: Boss) -> None:
    wrong = []
    for name, (change, paths) in SETTINGS.items():
        ack = await boss.ask(config(5, records("main", **change)))
        problems = (ack["error"] or {}).get("problems", [])
        sound = (
            (ack["revision"], ack["result"]) == (5, "rejected")
            and sorted(p["path"] for p in problems) == sorted(paths)
            and {(p["type"], p["role"], p["instance"]) for p in problems}
            == {("InvalidConfiguration", "record", "main")}
        )
        if not sound:
            wrong.append((name, ack))
    assert not wrong
    ack = await boss.ask(config(5, {"record": {"main": {}, "other": RECORD | {"rate": 5}}}))
    assert [(p["instance"], p["path"]) for p in ack["error"]["problems"]] == [
        ("main", "/source"),
        ("other", "/rate"),
    ], "all problems of all instances are in one ack"


async def test_the_three_errors_come_in_one_ack_that_is_named_by_the_first(boss: Boss) -> None:
    bad = {"main": {"source": {"type": "test"}, "segment_seconds": 0}}
    missing = {"Record": {"main": RECORD}, "nosuch": {"a": 5, "b": 6}}
    blocked = {"stream": {"a": 5, "b": {}}, "shelved": {"main": {}}}

    ack = await boss.ask(config(1, {"record": bad} | missing | blocked))
    assert ack["error"]["type"] == "BlockedRole"
    assert sorted(
        (p["type"], p["role"], p["instance"] or "", p["path"] or "")
        for p in ack["error"]["problems"]
    ) == [
        ("BlockedRole", "shelved", "", ""),
        ("BlockedRole", "stream", "", ""),
        ("InvalidConfiguration", "record", "main", "/segment_seconds"),
        ("MissingRoleFactory", "Record", "", ""),
        ("MissingRoleFactory", "nosuch", "", ""),
    ]
    assert all(p["message"] for p in ack["error"]["problems"])
    whole = [p for p in ack["error"]["problems"] if p["type"] != "InvalidConfiguration"]
    assert all((p["instance"], p["path"]) == (None, None) for p in whole)

    ack = await boss.ask(config(1, {"record": bad} | missing))
    assert ack["error"]["type"] == "MissingRoleFactory"
    ack = await boss.ask(config(1, {"record": bad}))
    assert ack["error"]["type"] == "InvalidConfiguration"
    ack = await boss.ask(config(1, {"station": {"main": {}}}))
    assert ack["error"]["type"] == "MissingRoleFactory", "`station` is no role to be configured"
    assert ack["in_force"] == {"revision": 0, "roles": {}}


async def test_what_a_newer_manager_adds_to_the_envelope_is_ignored(boss: Boss) -> None:
    await boss.push(1, {}, priority="high", seat={"name": "cam"})


async def test_an_empty_payload_is_not_answered(boss: Boss) -> None:
    await boss.push(1, {})
    mark = boss.stranger.mark()
    await boss.send(b"")
    await boss.ask(config(2, {}))
    acks = [one for one in boss.stranger.heard[mark:] if one.topic == boss.topic("ack")]
    assert [one.json["revision"] for one in acks] == [2]


async def test_revisions_up_to_the_one_in_force_are_answered_and_not_applied(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(5, records("main"))
    before = writers(programs)

    def force(ack: Json) -> Any:
        assert ack["in_force"] == {"revision": 5, "roles": records("main")}
        return ack["revision"], ack["result"], ack["error"] and ack["error"]["type"]

    accepted, rejected = (5, "accepted", None), (8, "rejected", "BlockedRole")
    for revision in (5, 4, 1):
        assert force(await boss.ask(config(revision, {}))) == accepted, "sound"
        assert force(await boss.ask(config(revision, {"stream": 7}))) == accepted, "broken"
    assert force(await boss.ask(b'{"revision": 5}')) == accepted

    first = await boss.ask(config(8, {"stream": {}}))
    assert force(first) == rejected
    again = await boss.ask(config(5, records("main")))
    assert force(again) == rejected, "the last decision was the rejection of a higher one"
    assert again["error"] == first["error"]
    assert force(await boss.ask(b'{"revision": 2, "roles": 7}')) == rejected

    assert force(await boss.ask(b"?")) == (None, "rejected", "InvalidConfiguration")
    assert force(await boss.ask(config(8, {"stream": {}}))) == rejected, "looked at anew"
    assert writers(programs) == before

    ack = await boss.ask(config(7, records("main"), by="lower than the one rejected"))
    assert (ack["revision"], ack["result"]) == (7, "accepted")
    ack = await boss.ask(config(6, {}))
    assert (ack["revision"], ack["result"], ack["error"]) == (7, "accepted", None)
    ack = await boss.ask(config(8, records("main"), by="rejected before, sound now"))
    assert (ack["revision"], ack["result"], ack["error"]) == (8, "accepted", None)
    assert writers(programs) == before, "the same settings restart nothing"


async def test_after_a_null_the_next_config_gets_its_proper_ack(boss: Boss) -> None:
    assert (await boss.ask(b"?"))["revision"] is None
    await boss.push(1, {})
    assert (await boss.ask(b"?"))["revision"] is None
    ack = await boss.ask(config(1, {}))
    assert (ack["revision"], ack["result"], ack["error"]) == (1, "accepted", None)


@pytest.mark.parametrize("revision", [1, 2**53 - 1])
async def test_the_lowest_and_the_highest_revision_are_accepted(boss: Boss, revision: int) -> None:
    await boss.push(revision, {})


async def test_a_change_of_one_instance_leaves_the_others_as_they_are(
    boss: Boss, programs: Programs
) -> None:
    await boss.push(1, records("main"))
    (main,) = writers(programs)
    await boss.push(2, records("main", "second"))
    (second,) = set(writers(programs)) - {main}
    first = (await boss.runs(2, records("main", "second")))["roles"]["record"]["main"]

    changed = {"record": {"main": RECORD, "second": RECORD | {"segment_seconds": 30}}}
    await boss.push(3, changed)
    status = await boss.runs(3, changed)
    assert status["roles"]["record"]["main"]["since"] == first["since"]
    assert status["roles"]["record"]["main"]["restarts"] == 0
    now = set(writers(programs))
    assert main in now
    assert second not in now
    assert len(now) == 2

    await boss.push(4, changed, name="hall1-cam", room="hall1")
    await boss.push(5, changed, name="hall2-cam", room="hall2")
    assert set(writers(programs)) == now, "another name or room restarts nothing"

    await boss.push(6, records("main"))
    assert set(writers(programs)) == {main}
    ack = await boss.push(7, {})
    assert ack["in_force"]["roles"] == {}
    status = await boss.runs(7, {})
    assert status["roles"] == {}
    assert not writers(programs)


async def test_every_message_of_a_station_is_as_the_page_says(boss: Boss) -> None:
    await boss.push(1, records("main"))
    kinds = {
        "registration": {
            *("boot", "agent", "hostname", "mac", "addresses", "blocked_roles", "factories"),
            *("broken_roles", "devices", "public_key", "secrets"),
        },
        "presence": {"state", "boot", "epoch", "at", "interval"},
        "status": {"boot", "at", "revision", "roles", "stops", "called"},
        "ack": ACK,
    }
    presence = boss.stranger.latest(boss.topic("presence"))
    for kind, fields in kinds.items():
        for message in boss.stranger.on(boss.topic(kind)):
            assert message.qos == 1
            assert set(message.json) == fields
            assert message.json["boot"] == presence["boot"]
            assert message.json.get("at", "Z").endswith("Z")
    assert 1 <= len(presence["boot"]) <= 64
    assert presence["interval"] == 1.0
    registration = boss.stranger.latest(boss.topic("registration"))
    assert registration["blocked_roles"] == ["exec", "shelved", "stream"]
    factory = registration["factories"]["record"]
    assert set(factory) == {"instances", "settings", "commands"}
    assert factory["instances"] == 0
    assert "segment_seconds" in json.dumps(factory["settings"])
    status = boss.stranger.latest(boss.topic("status"))
    instance = status["roles"]["record"]["main"]
    assert set(instance) == {"state", "since", "restarts", "reason", "message", "revision"}


async def test_a_flood_of_configs_is_answered_one_by_one_and_ends_with_the_last(
    boss: Boss, programs: Programs
) -> None:
    mark = boss.stranger.mark()
    sent = [
        boss.stranger.publish(boss.topic("config"), config(n, records("main" if n % 2 else "b")))
        for n in range(1, 30)
    ]
    for one in sent:
        await one
    await boss.runs(29, records("main"), timeout=60)  # each of them starts a recorder
    acks = [one.json for one in boss.stranger.heard[mark:] if one.topic == boss.topic("ack")]
    assert [ack["revision"] for ack in acks] == list(range(1, 30))
    assert {ack["result"] for ack in acks} == {"accepted"}
    assert len(writers(programs)) == 1
