"""Which budgets concern a request, and when they begin anew: decided without a database."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger.budgeting import Known, Period, Scope, State, began, ends, pack, refusal, unpack

pytestmark = pytest.mark.fast


def _at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _state(**changes: object) -> State:
    told: dict[str, object] = {
        "id": 1,
        "scope": Scope("t"),
        "period": "day",
        "limit_nano": 1_000,
        "hard": True,
        "unpriced": False,
        "since": _at("2026-11-21"),
        "spent_nano": 0,
        "reserved_nano": 0,
        "overrun_nano": 0,
        "unpriced_calls": 0,
        "refused": 0,
        "told": 0,
        "made_at": _at("2026-11-20"),
    }
    return State(**{**told, **changes})  # type: ignore[arg-type]


class Move:
    def __init__(self, at: str, spent: int, reserved: int = 0) -> None:
        self.at, self.spent_nano, self.reserved_nano = _at(at), spent, reserved
        self.overrun_nano = self.unpriced_calls = 0


PERIODS = [  # of which period, at what time: its begin, and when it is over
    ("day", "2026-11-21T23:59:59", "2026-11-21", "2026-11-22"),
    ("day", "2026-11-22T00:00:00", "2026-11-22", "2026-11-23"),
    ("month", "2026-12-31T12:00:00", "2026-12-01", "2027-01-01"),
    ("month", "2028-02-29T12:00:00", "2028-02-01", "2028-03-01"),
    ("total", "2030-01-01T00:00:00", "2026-01-01", None),
]


@pytest.mark.parametrize(("period", "at", "first", "last"), PERIODS)
def test_a_period_is_a_utc_day_a_utc_month_or_since_it_was_made(
    period: Period, at: str, first: str, last: str | None
) -> None:
    since = began(period, _at(at), _at("2026-01-01"))
    assert (since, ends(period, since)) == (_at(first), None if last is None else _at(last))


def test_a_new_day_forgets_what_was_spent_and_keeps_what_is_reserved() -> None:
    state = _state(spent_nano=900, reserved_nano=70, told=80, refused=3)
    state.advance(_at("2026-11-22T00:00:01"))
    assert (state.spent_nano, state.reserved_nano, state.told, state.refused) == (0, 70, 0, 0)
    assert [(old.spent_nano, old.since) for old in state.closed] == [(900, _at("2026-11-21"))]


def test_what_was_booked_before_midnight_and_is_seen_after_it_counts_for_the_day_before() -> None:
    """The hold that it gives back counts all the same."""
    state = _state(since=_at("2026-11-22"), reserved_nano=50)
    state.add(Move("2026-11-21T23:59:59", spent=40, reserved=-50))
    state.add(Move("2026-11-22T00:00:01", spent=7))
    assert (state.spent_nano, state.reserved_nano) == (7, 0)


FITS = [  # spent, reserved, asked: a limit of 1,000
    (0, 0, 1_000, True),
    (0, 0, 1_001, False),
    (400, 400, 200, True),
    (400, 400, 201, False),
    (1_200, 0, 0, True),  # what is free always fits
    (0, 0, None, False),  # nobody knows what it costs
]


@pytest.mark.parametrize(("spent", "reserved", "asked", "fits"), FITS)
def test_what_is_spent_and_what_is_reserved_leave_the_rest(
    spent: int, reserved: int, asked: int | None, fits: bool
) -> None:
    state = _state(spent_nano=spent, reserved_nano=reserved)
    assert (state.fits(asked), state.left_nano) == (fits, max(0, 1_000 - spent - reserved))


REACHED = [(0, 0), (499, 0), (500, 50), (799, 50), (800, 80), (999, 80), (1_000, 100), (5_000, 100)]


@pytest.mark.parametrize(("spent", "share"), REACHED)
def test_a_share_is_reached_by_what_is_spent(spent: int, share: int) -> None:
    assert _state(spent_nano=spent).reached() == share


def test_a_budget_of_zero_has_reached_nothing_before_anything_is_spent() -> None:
    assert (_state(limit_nano=0).reached(), _state(limit_nano=0, spent_nano=1).reached()) == (0, 100)


def test_a_refusal_says_what_is_left_and_when_it_begins_anew() -> None:
    told = refusal(_state(limit_nano=2 * 10**9, spent_nano=15 * 10**8), 10**9)
    assert told.message == (
        "the budget of 2.000000 dollars a day for tenant t has 0.500000 dollars left, and this may cost up to 1.000000; "
        "it begins anew at 2026-11-22T00:00:00Z"
    )
    assert (told.type, told.retryable, told.details["left_usd"]) == ("budget_exceeded", True, "0.500000")
    assert not refusal(_state(period="total"), 10**9).retryable


names = st.sampled_from(["", "a", "b"])
scopes = st.builds(Scope, names, names, st.sampled_from(["", "p/m", "p/n", "p/*"]), names)


@given(
    known=st.lists(scopes, unique=True, max_size=12),
    tenant=st.sampled_from("ab"),
    key=st.sampled_from([None, "a", "b"]),
    model=st.sampled_from("mn"),
    run=st.sampled_from([None, "a", "b"]),
)
def test_a_budget_concerns_whatever_fits_all_that_it_names(
    known: list[Scope], tenant: str, key: str | None, model: str, run: str | None
) -> None:
    def fits(scope: Scope) -> bool:
        return (
            scope.tenant in {"", tenant}
            and scope.key_id in {"", key}
            and scope.model in {"", f"p/{model}", "p/*"}
            and scope.run_id in {"", run}
        )

    found = Known(1, list(enumerate(known))).concerning(tenant, key, "p", model, run)
    assert found == tuple(i for i, scope in enumerate(known) if fits(scope))


@given(st.lists(st.integers(1, 10**9), unique=True).map(sorted))
def test_ids_are_read_as_they_were_written(ids: list[int]) -> None:
    assert list(unpack(pack(ids))) == ids
