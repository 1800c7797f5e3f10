"""Models and nodes find each other, seldom by loading; a clock that only the test moves."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.placing import Home, Moves, Node, Rules, Waiting, due, place

pytestmark = pytest.mark.fast

ONE = Rules(most=1, gather_s=2.0)
NOW = 100.0


def homes(**open_: str) -> list[Home]:
    """Nodes by name, each with the models open there; the models are a, b and c."""
    return [Home(node, model, model in models, since=0.0) for node, models in open_.items() for model in "abc"]


def waits(count: int, since: float, gather_s: float = 2.0) -> Waiting:
    return Waiting(count, since, since + gather_s)


def moves(opens: str = "", closes: str = "") -> Moves:
    return Moves(*(frozenset((pair[:-1], pair[-1]) for pair in told.split()) for told in (opens, closes)))


JUST = {"n1": Node(used_at=99.5), "n2": Node(used_at=99.5)}
IDLE = {"n1": Node(used_at=90.0), "n2": Node(used_at=95.0)}

TABLE: list[tuple[str, list[Home], dict[str, Waiting], dict[str, Node], Moves]] = [
    ("nobody waits", homes(n1="a", n2="b"), {}, JUST, moves()),
    ("it is at home", homes(n1="a", n2="b"), {"a": waits(1, 99)}, JUST, moves()),
    ("an empty node takes it at once", homes(n1="a", n2=""), {"c": waits(1, NOW)}, JUST, moves("n2c")),
    ("gathered a moment: not yet", homes(n1="a", n2="b"), {"c": waits(1, 99)}, JUST, moves()),
    ("gathered enough: the node whose model nobody wants",
        homes(n1="a", n2="b"), {"c": waits(1, 98), "a": waits(3, 99)}, JUST, moves("", "n2b")),
    ("an idle node need not wait, the longest idle goes first", homes(n1="a", n2="b"), {"c": waits(1, NOW)}, IDLE, moves("", "n1a")),
    ("both have work and have had their stay: the least work",
        homes(n1="a", n2="b"), {"c": waits(1, 90), "a": waits(9, 80), "b": waits(4, 80)}, JUST, moves("", "n2b")),
    ("a model with two homes gives one", homes(n1="a", n2="a"), {"c": waits(1, 98), "a": waits(90, 70)}, JUST, moves("", "n1a")),
    ("older first: one node at a time for each", homes(n1="a", n2=""), {"c": waits(1, 98), "b": waits(1, 97)}, JUST, moves("n2b", "n1a")),
    ("work left over spreads to a node that has none", homes(n1="a", n2="b"), {"a": waits(9, 90)}, IDLE, moves("", "n2b")),
]  # fmt: skip


@pytest.mark.parametrize(("board", "waiting", "nodes", "wanted"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_one_move(board: list[Home], waiting: dict[str, Waiting], nodes: dict[str, Node], wanted: Moves) -> None:
    assert place(board, waiting, nodes, NOW, ONE) == wanted


def test_a_model_that_was_loaded_a_moment_ago_stays_while_it_has_work() -> None:
    fresh = [replace(home, since=95.0) for home in homes(n1="a")]
    waiting = {"a": waits(5, 99), "b": waits(5, 50)}
    nodes = {"n1": Node(used_at=NOW, load_s=2.0)}
    assert place(fresh, waiting, nodes, NOW, ONE) == moves()
    assert place(fresh, waiting, nodes, 95.0 + 10 * 2.0, ONE) == moves("", "n1a")


def test_what_still_runs_ends_before_another_model_comes() -> None:
    leaving = [Home("n1", "a", open=False, busy=1), Home("n1", "b", open=False)]
    nodes = {"n1": Node(used_at=NOW)}
    assert place(leaving, {"b": waits(1, 90)}, nodes, NOW, ONE) == moves()
    ended = [replace(home, busy=0) for home in leaving]
    assert place(ended, {"b": waits(1, 90)}, nodes, NOW, ONE) == moves("n1b")


def test_a_node_that_is_cleared_is_kept_for_who_is_in_turn() -> None:
    """Its model has got new rows while its last calls run: reopened, it would never be left."""
    draining = [replace(home, open=False, busy=int(home.model == "a")) for home in homes(n1="a")]
    waiting = {"a": waits(5, 90), "b": waits(1, 50)}
    assert place(draining, waiting, {"n1": Node(used_at=NOW)}, NOW, ONE) == moves()
    assert place(draining, {"a": waits(5, 90)}, {"n1": Node(used_at=NOW)}, NOW, ONE) == moves("n1a")


@pytest.mark.parametrize(
    ("here", "for_s", "wanted"),
    [
        (2, 5.0, ""),  # it was loaded a moment ago
        (2, 20.0, "n1a"),
        (0, 20.0, ""),  # somebody is in a hurry here too: it has its stay
        (0, 90.0, "n1a"),
    ],
)
def test_who_is_in_a_hurry_waits_for_a_short_stay_of_who_is_not(here: int, for_s: float, wanted: str) -> None:
    board = [replace(home, since=NOW - for_s) for home in homes(n1="a")]
    waiting = {"a": replace(waits(5, 20), lane=here), "b": replace(waits(1, 97), lane=0)}
    assert place(board, waiting, {"n1": Node(used_at=NOW, load_s=8.0)}, NOW, ONE) == moves("", wanted)


def test_who_is_in_a_hurry_goes_first_until_another_has_starved() -> None:
    waiting = {"a": waits(50, 20), "b": replace(waits(1, 99), lane=0)}
    board, nodes = homes(n1=""), {"n1": Node()}
    assert place(board, waiting, nodes, NOW, ONE) == moves("n1b")
    starved = [replace(home, since=-1000.0 if home.model == "a" else 0.0) for home in board]
    assert place(starved, waiting, nodes, NOW, ONE) == moves("n1a")


def test_where_it_is_loaded_already_goes_first() -> None:
    nodes = {"n1": Node(loaded=frozenset({"b"})), "n2": Node(loaded=frozenset({"c:latest"})), "n3": Node(loaded=None)}
    assert place(homes(n1="", n2="", n3=""), {"c": waits(1, NOW)}, nodes, NOW, ONE) == moves("n2c")


def test_as_many_models_as_a_node_holds_are_open_everywhere() -> None:
    assert place(homes(n1="", n2="b"), {}, JUST, NOW, Rules(3)) == moves("n1a n1b n1c n2a n2c")


def test_more_than_a_node_holds_is_closed_first_what_nobody_wants() -> None:
    assert place(homes(n1="abc", n2=""), {"b": waits(1, 99)}, JUST, NOW, ONE) == moves("", "n1a n1c")


@pytest.mark.parametrize(("deadline", "wanted"), [(None, 12.0), (100.0, 12.0), (13.0, 11.5), (10.0, 10.0), (5.0, 10.0)])
def test_a_deadline_halves_the_wait(deadline: float | None, wanted: float) -> None:
    assert due(10.0, deadline, 2.0) == wanted


def most_held(board: Iterable[Home]) -> int:
    """The most models that are open or busy at one node."""
    return max(Counter(home.node for home in board if home.open or home.busy).values(), default=0)


class World:
    """Nodes that serve one call at a time and load what they do not hold, on a clock that is moved by steps."""

    def __init__(self, nodes: int, models: int, rules: Rules, call_s: float, load_s: float) -> None:
        self.rules, self.call_s, self.load_s, self.now = rules, call_s, load_s, 0.0
        self.names = [f"n{i}" for i in range(nodes)]
        self.homes = {(n, f"m{m}"): Home(n, f"m{m}", open=False) for n in self.names for m in range(models)}
        self.loaded: dict[str, list[str]] = {n: [] for n in self.names}
        self.free_at = dict.fromkeys(self.names, 0.0)
        self.working: dict[str, tuple[str, str]] = {}
        self.queue: dict[str, list[float]] = {}
        self.loads = 0
        self.waited: list[float] = []

    def step(self, seconds: float) -> None:
        self.now += seconds
        for node, place_ in list(self.working.items()):
            if self.free_at[node] <= self.now:
                self.homes[place_] = replace(self.homes[place_], busy=0)
                del self.working[node]
        waiting = {
            model: Waiting(len(since), since[0], due(since[0], None, self.rules.gather_s))
            for model, since in self.queue.items()
            if since
        }
        nodes = {n: Node(frozenset(self.loaded[n]), self.free_at[n], self.load_s) for n in self.names}
        found = place(list(self.homes.values()), waiting, nodes, self.now, self.rules)
        for each in found.opens:
            self.homes[each] = replace(self.homes[each], open=True, since=self.now)
        for each in found.closes:
            self.homes[each] = replace(self.homes[each], open=False)
        assert most_held(self.homes.values()) <= self.rules.most
        for node in self.names:
            self._begin(node)

    def _begin(self, node: str) -> None:
        if node in self.working:
            return
        able = [m for (n, m), home in self.homes.items() if n == node and home.open and self.queue.get(m)]
        if not able:
            return
        model = min(able, key=lambda m: self.queue[m][0])
        self.waited.append(self.now - self.queue[model].pop(0))
        took = self.call_s
        if model not in self.loaded[node]:
            self.loads += 1
            took += self.load_s
            self.loaded[node] = [*self.loaded[node], model][-self.rules.most :]
        self.free_at[node] = self.now + took
        self.working[node] = (node, model)
        self.homes[node, model] = replace(self.homes[node, model], busy=1)


arrivals = st.lists(st.tuples(st.integers(0, 4), st.floats(0, 3)), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(arrivals, st.integers(1, 3), st.integers(1, 5), st.integers(1, 2))
def test_no_node_holds_more_than_it_can_and_nobody_waits_for_ever(
    coming: list[tuple[int, float]], nodes: int, models: int, most: int
) -> None:
    world = World(nodes, models, Rules(most, 2.0), call_s=0.2, load_s=0.5)
    for model, passed in coming:
        for _ in range(int(passed / 0.25)):
            world.step(0.25)
        world.queue.setdefault(f"m{model % models}", []).append(world.now)
    # each model in turn: it is gathered, what is there has its stay (5 s), its last call ends, it is loaded
    bound = (models + 1) * (2.0 + 5.0 + 0.2 + 0.5 + 1.0) + 0.7 * len(coming)
    for _ in range(int(bound / 0.25)):
        world.step(0.25)
    assert not any(world.queue.values()), (world.queue, world.homes)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.lists(st.integers(0, 4), min_size=20, max_size=80))
def test_a_model_with_work_is_not_thrown_out_before_its_stay_is_over(models: int, coming: list[int]) -> None:
    """All come at once: on one node each model is loaded once per stay at most, not once per call."""
    world = World(1, models, Rules(1, 2.0), call_s=0.2, load_s=0.5)
    for model in coming:
        world.queue.setdefault(f"m{model % models}", []).append(0.0)
    while any(world.queue.values()):
        world.step(0.25)
        assert world.now < 400
    stays = world.now / (10 * 0.5)
    assert world.loads <= len({m % models for m in coming}) + stays


def test_mixed_models_are_loaded_a_fifth_as_often_as_round_robin_would() -> None:
    """20 calls/s of 6 models on 3 nodes, 50 ms each, 0.5 s to load."""
    world = World(3, 6, Rules(1, 2.0), call_s=0.05, load_s=0.5)
    for i in range(2400):
        world.queue.setdefault(f"m{(i * 7 + i // 6) % 6}", []).append(world.now)
        for _ in range(5):
            world.step(0.01)
    assert world.loads / 2400 <= 0.2 * 5 / 6, world.loads
    assert sorted(world.waited)[int(0.95 * len(world.waited))] < 10
