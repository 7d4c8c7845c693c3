"""What FLEET_GRAFANA_URL switches on does run: tried on a stand-in, which is no Grafana."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from tests.board import boards
from tests.board.grafana import Grafana
from tests.board.stand_in import PASSWORD, TOKEN, USER, StandIn

USERS = (f"{USER}:{quote(PASSWORD, safe='')}", TOKEN)


@contextmanager
def stand_in(answer: Callable[[str], list[float]]) -> Iterator[StandIn]:
    server = StandIn(answer)
    with server.serving():
        yield server
    assert server.boards == {}, "nothing is left there"
    assert server.sources == {}


def grafana(server: StandIn, user: str = TOKEN) -> Grafana:
    return Grafana(f"http://{user}@{server.host}")


def chosen(expression: str) -> str:
    return expression.replace("$room", "hall2").replace("$station", "a1")


@pytest.mark.parametrize("user", USERS)
def test_each_board_is_loaded_each_query_asked_and_all_of_it_removed(user: str) -> None:
    with stand_in(lambda _: [1.0]) as server:
        tried = grafana(server, user)
        with tried.holding("http://127.0.0.1:9090"):
            assert server.sources["fleet-test"]["url"] == "http://127.0.0.1:9090"
            tried.every_panel_has_data(chosen)
    assert server.loaded == [f"{uid}-test" for uid in boards.every_board()]
    assert server.asked == [chosen(one.expression) for one in boards.queries()]


def test_a_panel_that_is_empty_and_one_that_is_refused_are_told_by_name() -> None:
    def answer(expression: str) -> list[float]:
        if expression.startswith("sort_desc"):
            return []
        if "scrape_duration_seconds" in expression:
            raise ValueError("parse error: unexpected end of input")
        return [0.0]

    with stand_in(answer) as server:
        tried = grafana(server)
        with (
            tried.holding("http://127.0.0.1:9090"),
            pytest.raises(AssertionError) as wrong,
        ):
            tried.every_panel_has_data(chosen)
    empty, refused = str(wrong.value).splitlines()
    assert empty == "fleet-rooms, Rooms: sort_desc(room:fleet_trouble:level): no data"
    assert refused.startswith("fleet-fleet, Scrape of the manager: scrape_duration_seconds{")
    assert "parse error: unexpected end of input" in refused


def test_a_variable_that_is_not_put_in_is_told() -> None:
    with stand_in(lambda _: [1.0]) as server:
        tried = grafana(server)
        with (
            tried.holding("http://127.0.0.1:9090"),
            pytest.raises(AssertionError, match=r"fleet-room, Stream.*not put in"),
        ):
            tried.every_panel_has_data(str)


def test_who_may_not_is_told_so_in_the_servers_words() -> None:
    with (
        stand_in(lambda _: [1.0]) as server,
        pytest.raises(AssertionError, match=r"POST datasources: .*Invalid username"),
        grafana(server, "admin:wrong").holding("http://127.0.0.1:9090"),
    ):
        pass


def test_a_board_that_is_refused_leaves_none_of_the_others_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = boards.every_board()
    every = {uid if uid != "fleet-station" else "u" * 50: one for uid, one in every.items()}
    monkeypatch.setattr(boards, "every_board", lambda: every)
    with (
        stand_in(lambda _: [1.0]) as server,
        pytest.raises(AssertionError, match=r"POST dashboards/db: .*bad request"),
        grafana(server).holding("http://127.0.0.1:9090"),
    ):
        pass
    assert server.loaded == ["fleet-rooms-test", "fleet-room-test"]
