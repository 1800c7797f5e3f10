"""A look into the ledger made into what people see: Kafka's part, and what is not known."""

from typing import Any

import pytest

from store.ledger.backlog import Backlog, Done, Standing
from streams import queueing
from streams.lag import Lag
from streams.queueing import Wanted

pytestmark = pytest.mark.fast

NOW, POOL, OTHER = 10_000.0, ("fake", "a"), ("fake", "b")
DONE = tuple(Done(POOL, 1, NOW - 60 - n, NOW - 60 - n, NOW - 58 - n, 2.0) for n in range(0, 50, 2))


def waits(lane: int, count: int, pool: tuple[str, str] = POOL, **more: Any) -> Standing:
    return Standing(
        **{
            "pool": pool,
            "lane": lane,
            "tenant": "t",
            "state": "waiting",
            "delayed": False,
            "count": count,
            "oldest": NOW,
            **more,
        }
    )


def look(*standing: Standing, done: tuple[Done, ...] = DONE, slots: int = 2) -> Backlog:
    running = waits(1, slots, state="calling", tenant="r")
    return Backlog(NOW, (running, *standing), done, {}, (), {POOL: (slots, slots)})


def unread(*counts: int) -> Lag:
    return Lag({lane: {"summarize": count, "embed": 0} for lane, count in enumerate(counts)})


def test_what_is_in_kafka_is_worked_on_too() -> None:
    """Two slots of 2 s: one answer a second; 10 in the ledger and 90 in Kafka are 100 s and one call."""
    told = queueing.report(look(waits(1, 10)), unread(0, 90, 0))
    lane = told["lanes"][1]
    assert (lane["in_kafka"], lane["in_kafka_by_operation"], told["all"]["in_kafka"]) == (90, {"summarize": 90}, 90)
    assert lane["done_s"] == pytest.approx(102, rel=0.05)
    assert lane["eta_s"] == pytest.approx(13, rel=0.05)


def test_another_lane_s_records_take_their_turns_too() -> None:
    """For three of normal eight of realtime: 30 rows are 110 picks."""
    told = queueing.report(look(waits(1, 30)), unread(1000, 0, 0))
    assert told["lanes"][1]["done_s"] == pytest.approx(112, rel=0.05)


def test_unknown_lag_is_null_and_says_why() -> None:
    told = queueing.report(look(waits(1, 10)), Lag(why="nobody answers"))
    assert (told["kafka"], told["lanes"][1]["in_kafka"], told["all"]["in_kafka"]) == (
        {"ok": False, "why": "nobody answers"},
        None,
        None,
    )
    assert told["lanes"][1]["done_s"] == pytest.approx(12, rel=0.05)


def test_records_in_kafka_of_which_no_pool_is_known_yet_have_no_end() -> None:
    told = queueing.report(Backlog(NOW, (), (), {}, (), {}), unread(0, 5, 0))
    assert [lane["done_s"] for lane in told["lanes"]] == [0.0, None, 0.0]
    assert told["all"]["done_s"] is None


def test_one_pool_that_nothing_is_known_of_makes_its_lane_unknown() -> None:
    told = queueing.report(look(waits(1, 10), waits(1, 3, OTHER)), unread(0, 0, 0))
    assert (told["lanes"][1]["waiting"], told["lanes"][1]["done_s"]) == (13, None)
    assert [pool["why"] != "" for pool in told["pools"]] == [False, True]


def test_what_is_delayed_or_held_is_counted_apart() -> None:
    found = look(waits(2, 4, delayed=True), waits(2, 2, state="held"), waits(2, 1, state="leased", oldest=NOW - 9))
    lane = queueing.report(found, unread(0, 0, 0), Wanted(lane=2))["lanes"][0]
    assert [lane[name] for name in ("waiting", "delayed", "held", "oldest_s")] == [1, 4, 2, 9.0]
