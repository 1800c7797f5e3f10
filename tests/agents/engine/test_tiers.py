"""Which tier a call is made on."""

from dataclasses import replace
from typing import Any

import pytest

from agents.engine import tiers
from agents.engine.tiering import bucket
from agents.engine.tiers import HOUR_S, Facts, Prices, Rules
from schemas.request import Lane

pytestmark = pytest.mark.fast

RULES = Rules()
BOTH = Facts(
    "auto", Lane.NORMAL, 24 * HOUR_S, "p/m", has_batch=True, has_flex=True, prices=Prices(standard=10, flex=5, batch=5)
)

TABLE: list[tuple[dict[str, Any], str, str]] = [
    # nothing is wished
    ({"wish": "standard"}, "standard", ""),
    # the deadline decides: a batch from 2 h on, flex from a quarter of an hour on
    ({}, "batch", "its deadline was 24.0 h away"),
    ({"left_s": 7200.0}, "batch", "its deadline was 2.0 h away"),
    ({"left_s": 7199.0}, "flex", "its deadline was 2.0 h away"),
    ({"left_s": 900.0}, "flex", "its deadline was 0.2 h away"),
    (
        {"left_s": 899.0},
        "standard",
        "its deadline is too near for a batch; its deadline is too near for the flex tier",
    ),
    # without one only the patient lane may wait, unless it was asked for
    ({"left_s": None, "lane": Lane.BATCH}, "batch", "the batch lane, and no deadline"),
    ({"left_s": None}, "standard", "it has no deadline and is not of the batch lane, so somebody may wait for it"),
    ({"wish": "batch", "left_s": None, "lane": Lane.REALTIME}, "batch", "asked for"),
    ({"wish": "flex", "left_s": None}, "flex", "asked for"),
    # what there is not
    ({"has_batch": False}, "flex", "its deadline was 24.0 h away"),
    ({"has_batch": False, "has_flex": False}, "standard", "`p/m` has no batches; `p/m` has no flex tier"),
    ({"wish": "batch", "has_batch": False}, "standard", "`p/m` has no batches"),
    ({"wish": "flex", "has_flex": False}, "standard", "`p/m` has no flex tier"),
    # only a choice of ours must be known to pay
    ({"prices": Prices(standard=10, flex=5)}, "flex", "its deadline was 24.0 h away"),
    (
        {"prices": Prices(standard=10, flex=10, batch=11)},
        "standard",
        "no price says that a batch is cheaper; no price says that the flex tier is cheaper",
    ),
    ({"wish": "batch", "prices": Prices()}, "batch", "asked for"),
    # who has come back
    ({"batches": 2}, "batch", "its deadline was 24.0 h away"),
    ({"batches": 3}, "flex", "its deadline was 24.0 h away"),
    ({"wish": "batch", "batches": 3}, "standard", "it came back from 3 batches without an answer"),
    ({"wish": "flex", "flexed": True}, "standard", "the flex tier had no room, or broke off"),
    # whose caller has said more
    ({"read_along": True}, "standard", "its caller reads along"),
    ({"own": True}, "standard", "it names a `service_tier` itself"),
]


@pytest.mark.parametrize(("how", "tier", "why"), TABLE)
def test_a_call_is_made_on_the_cheapest_tier_that_leaves_it_its_time(how: dict[str, Any], tier: str, why: str) -> None:
    choice = tiers.choose(replace(BOTH, **how), RULES)
    assert (choice.tier, choice.why) == (tier, why)


@pytest.mark.parametrize(
    ("timeout_s", "left_s", "expected"),
    [
        (60.0, None, 900.0),  # as long as flex may take
        (1200.0, None, 1200.0),  # its own is longer
        (60.0, 600.0, 540.0),  # a standard call of 60 must fit in behind it
        (60.0, 70.0, 60.0),  # never shorter than its own
    ],
)
def test_behind_a_flex_call_there_is_time_for_a_standard_one(
    timeout_s: float, left_s: float | None, expected: float
) -> None:
    assert tiers.flex_timeout_s(timeout_s, left_s, RULES) == expected


def test_calls_share_a_batch_whose_deadlines_are_about_as_far_away() -> None:
    hours = [None, 2.0, 3.9, 4.0, 7.9, 24.0]
    assert [bucket(None if each is None else each * HOUR_S) for each in hours] == [0, 2, 2, 3, 3, 5]
