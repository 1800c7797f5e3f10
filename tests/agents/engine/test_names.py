"""A model has series of its own once it has answered; names that are only written have none, and there is room for so many."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agents.engine import names
from agents.engine.metrics import Metrics
from agents.engine.names import MOST, OTHER, Names, own

pytestmark = pytest.mark.fast
POOLS = [("p", f"m{i}") for i in range(MOST + 2)]


def test_what_has_not_answered_is_counted_with_others_of_its_provider() -> None:
    known = Names()
    known.answered(("p", "real"))
    assert [known.of(pool) for pool in [("p", "real"), ("p", "ghost"), ("q", "real")]] == [
        ("p", "real"),
        ("p", OTHER),
        ("q", OTHER),
    ]


def test_a_name_goes_only_when_its_pool_has_gone_and_another_needs_its_place() -> None:
    known = Names()
    lost = [known.answered(pool) for pool in POOLS[: MOST + 1]]
    assert (set(lost), known.has(POOLS[MOST])) == ({None}, False)
    known.leave(POOLS[1])
    known.leave(POOLS[0])
    known.answered(POOLS[1])  # used again before anybody needed its place
    assert [known.answered(pool) for pool in POOLS[MOST:]] == [POOLS[0], None]
    assert [known.has(POOLS[i]) for i in (0, 1, MOST, MOST + 1)] == [False, True, True, False]


def test_of_what_the_ledger_shows_the_first_that_have_answered_are_named() -> None:
    assert own(POOLS, set(POOLS) - {POOLS[3]}) == frozenset(POOLS[: MOST + 1]) - {POOLS[3]}


def test_all_series_of_a_lost_name_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 1)
    metrics = Metrics(CollectorRegistry())
    before = generate_latest(metrics.registry)
    metrics.answered(("p", "a"))
    metrics.calls.labels("p", "a", "ok").inc()
    metrics.calls.labels("p", "a", "error").inc()
    metrics.call_seconds.labels("p", "a").observe(1.0)
    for tenant in ("t", "u"):
        metrics.cost.labels("p", "a", tenant).inc()
    metrics.tiers.labels("p", "a", "flex").inc()
    metrics.names.leave(("p", "a"))
    metrics.answered(("p", "b"))
    assert generate_latest(metrics.registry) == before
