"""How long whoever says wrong passwords waits, by a clock of the test."""

from fleet.manager.people.tries import FORGOTTEN, FREE, LONGEST, MOST, Tries


def test_after_the_free_tries_each_wait_is_longer_up_to_a_minute() -> None:
    tries, now = Tries(), 0.0
    waits = []
    for _ in range(FREE + 8):
        waits.append(tries.wait(["name ann"], now))
        now += waits[-1]
        tries.count(["name ann"], now)
    assert waits[: FREE + 1] == [0.0] * FREE + [1.0]
    assert waits[FREE:] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST, LONGEST]


def test_a_name_waits_wherever_it_is_tried_from_and_an_address_whomever_it_tries() -> None:
    tries = Tries()
    for number in range(FREE):
        tries.count(["name ann", f"address {number}"], 0.0)
        tries.count([f"name {number}", "address evil"], 0.0)
    assert tries.wait(["name ann", "address new"], 0.0) == 1.0
    assert tries.wait(["name bob", "address evil"], 0.0) == 1.0
    assert tries.wait(["name bob", "address new"], 0.0) == 0.0


def test_many_at_once_are_as_many_tries() -> None:
    tries = Tries()
    let_in = 0
    for _ in range(100):
        if not tries.wait(["name ann"], 0.0):
            let_in += 1
            tries.count(["name ann"], 0.0)
    assert let_in == FREE


def test_a_right_one_and_an_hour_make_all_as_new() -> None:
    tries = Tries()
    for _ in range(FREE):
        tries.count(["name ann"], 0.0)
    tries.forget(["name ann"])
    assert tries.wait(["name ann"], 0.0) == 0.0
    for _ in range(FREE + 3):
        tries.count(["name bob"], 0.0)
    tries.count(["name bob"], FORGOTTEN + 1)
    assert tries.wait(["name bob"], FORGOTTEN + 1) == 0.0


def test_no_more_is_remembered_than_fits() -> None:
    tries = Tries()
    for _ in range(FREE):
        tries.count(["name first"], 0.0)
    for number in range(MOST - 1):
        tries.count([f"name {number}"], 0.0)
    assert tries.wait(["name first"], 0.0) == 1.0
    tries.count(["name last"], 0.0)
    assert tries.wait(["name first"], 0.0) == 0.0
