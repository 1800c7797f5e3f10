"""What one process makes of refusals before the ledger knows of them, and of what the ledger says."""

import pytest

from agents.engine.gates import Gates, judged
from providers.errors import Overloaded, ProviderError, RateLimited, Rejected, TimedOut, Unreachable
from store.ledger.limits import Limits
from store.ledger.throttle import Door, Heard, Throttle
from store.ledger.types.claims import Slot

pytestmark = pytest.mark.fast

POOL = ("p", "m")
NODES = ("a", "b")

JUDGED: list[tuple[ProviderError | None, bool, Heard | None]] = [
    (None, True, Heard(*POOL, "a", answered=True)),
    (RateLimited("x", retry_after_s=4.0), True, Heard(*POOL, "a", cuts=True, pause_s=4.0)),
    (RateLimited("x"), False, Heard(*POOL, "a", cuts=True, pause_s=1.0)),
    (Overloaded("x", retry_after_s=4.0), True, Heard(*POOL, "a", fails=True)),  # the other node has not asked to wait
    (Overloaded("x", retry_after_s=4.0), False, Heard(*POOL, "a", fails=True, cuts=True, pause_s=4.0)),
    (Overloaded("x"), False, Heard(*POOL, "a", fails=True, cuts=True)),
    (Unreachable("x"), False, Heard(*POOL, "a", fails=True)),
    (TimedOut("x"), False, None),  # a caller that had no patience
    (Rejected("x"), False, None),
]


@pytest.mark.parametrize(("error", "elsewhere", "heard"), JUDGED)
def test_what_a_call_says(error: ProviderError | None, elsewhere: bool, heard: Heard | None) -> None:
    assert judged(error, POOL, "a", elsewhere=elsewhere) == heard


@pytest.mark.parametrize(("took_s", "heard"), [(4.9, None), (5.0, Heard(*POOL, "a", fails=True, took_s=5.0))])
def test_a_node_that_said_nothing_for_long_has_failed(took_s: float, heard: Heard | None) -> None:
    """Slow is not too much, so the pool's ceiling stays."""
    assert judged(TimedOut("x"), POOL, "a", took_s, elsewhere=False) == heard


def test_a_node_that_only_times_out_is_left_alone_and_an_answer_between_them_keeps_it() -> None:
    gates = Gates(Clock())
    for error in [TimedOut("x")] * 4 + [None] + [TimedOut("x")] * 4:
        gates.hear(error, POOL, "a", NODES, took_s=60.0)
    assert (gates.closed(POOL, NODES), gates.shut()) == (set(), [])
    gates.hear(TimedOut("x"), POOL, "a", NODES, took_s=60.0)
    assert (gates.closed(POOL, NODES), gates.shut()) == ({"a"}, [("p", "a")])


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def slot(node: str) -> Slot:
    return Slot(*POOL, node, 0, False)


def test_an_answer_where_nothing_is_limited_says_nothing() -> None:
    assert Gates().hear(None, POOL, "a", NODES) is None


def test_a_pause_holds_here_at_once_and_ends_by_itself() -> None:
    clock = Clock()
    gates = Gates(clock)
    gates.hear(RateLimited("x", retry_after_s=3.0), POOL, "a", NODES)
    assert (gates.closed(POOL, NODES), gates.closed(("p", "other"), NODES)) == ({"a", "b"}, set())
    assert gates.changes_in() == 3.0
    clock.now += 3.1
    assert gates.closed(POOL, NODES) == set()


def test_the_fifth_refusal_closes_a_node_for_every_model_until_the_ledger_grants_a_trial() -> None:
    clock = Clock()
    gates = Gates(clock)
    for _ in range(5):
        assert "a" not in gates.closed(POOL, NODES)
        gates.hear(Unreachable("x"), POOL, "a", NODES)
    clock.now += 11.0  # the time for a trial has come, but it is the ledger that says whose it is
    assert (gates.closed(POOL, NODES), gates.closed(("p", "other"), NODES)) == ({"a"}, {"a"})
    known = Limits(at=50.0, doors={("p", "a"): Door(5, 60.0)})
    gates.told(known, [], 0.01)
    assert gates.closed(POOL, NODES) == {"a"}
    gates.told(known, [slot("a")], 0.01)
    assert gates.closed(POOL, NODES) == set()
    gates.hear(Unreachable("x"), POOL, "a", NODES)
    assert gates.closed(POOL, NODES) == {"a"}


def test_the_ledgers_times_are_put_into_ours_and_what_is_gone_there_is_gone_here() -> None:
    clock = Clock()
    gates = Gates(clock)
    gates.told(Limits(at=50.0, pools={POOL: Throttle(52.0, 7.0, 49.0)}), [], 0.01)
    assert (gates.closed(POOL, NODES), gates.changes_in(), gates.is_shared(POOL)) == ({"a", "b"}, 2.0, True)
    gates.told(None, [], 0.01)
    assert (gates.closed(POOL, NODES), gates.is_shared(POOL)) == (set(), False)


def test_what_we_heard_while_the_ledger_was_asked_is_newer_than_its_answer() -> None:
    clock = Clock()
    gates = Gates(clock)
    clock.now += 1.0
    gates.hear(RateLimited("x", retry_after_s=30.0), POOL, "a", NODES)
    gates.told(Limits(at=5.0, doors={("p", "b"): Door(1)}), [], took_s=2.0)
    assert gates.closed(POOL, NODES) == {"a", "b"}
    clock.now += 3.0
    gates.told(None, [], took_s=2.0)
    assert gates.closed(POOL, NODES) == set()
