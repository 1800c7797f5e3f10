"""The state table's decisions, row by row."""

import pytest

from store.ledger.policy import Known, on_death, on_known

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("state", "error", "same", "expected"),
    [
        # unfinished: its one answer comes
        ("waiting", None, True, "duplicate"),
        ("leased", None, True, "duplicate"),
        ("calling", None, True, "duplicate"),
        ("held", None, True, "duplicate"),
        # answered: the recorded result, paid for once
        ("succeeded", None, True, "replayed"),
        # ended without an answer: sending it again is how a dead letter is redriven
        ("failed", "overloaded", True, "again"),
        ("failed", "poison", True, "again"),
        ("failed", "invalid_request", True, "again"),
        ("cancelled", None, True, "again"),
        ("expired", None, True, "again"),
        # another payload under an id that is taken
        ("waiting", None, False, "conflict"),
        ("calling", None, False, "conflict"),
        ("succeeded", None, False, "conflict"),
        ("failed", "overloaded", False, "conflict"),
        ("cancelled", None, False, "conflict"),
        ("expired", None, False, "conflict"),
        # what never was a request binds nothing: its producer mended it
        ("failed", "invalid_request", False, "again"),
        # it ended as invalid once, and runs now with a valid payload: that one binds
        ("waiting", "invalid_request", False, "conflict"),
    ],
)
def test_the_same_identity_from_a_new_position(state: str, error: str | None, same: bool, expected: str) -> None:
    known = Known(1, state, 1, 0, b"one", error)
    assert on_known(known, b"one" if same else b"two") == expected


@pytest.mark.parametrize(
    ("calling", "open_intent", "paid", "wish", "ambiguous", "deaths_calling", "deaths_leased", "expected"),
    [
        # nothing was sent: nobody is harmed by another try
        (False, False, True, "retry", 0, 0, 1, "waiting"),
        (False, False, True, "fail", 0, 0, 4, "waiting"),
        # between two calls of one request: what was answered is in the journal
        (True, False, True, "fail", 0, 1, 0, "waiting"),
        # a free model may be asked twice
        (True, True, False, "retry", 0, 1, 0, "waiting"),
        (True, True, False, "fail", 0, 1, 0, "waiting"),
        # paid and open: once more if asked for, and only once
        (True, True, True, "retry", 0, 1, 0, "ambiguous_retry"),
        (True, True, True, "retry", 1, 1, 0, "ambiguous_fail"),
        (True, True, True, "fail", 0, 1, 0, "ambiguous_fail"),
        # a human is asked, as often as it takes
        (True, True, True, "hold", 0, 1, 0, "hold"),
        (True, True, True, "hold", 3, 1, 0, "hold"),
        (True, True, False, "hold", 0, 1, 0, "waiting"),
        (True, True, True, "hold", 0, 2, 0, "poison"),
        # two deaths while calling: it kills whoever touches it, free or paid, open or not
        (True, True, True, "retry", 0, 2, 0, "poison"),
        (True, True, False, "retry", 0, 2, 0, "poison"),
        (True, False, False, "retry", 0, 2, 0, "poison"),
        # a lease alone kills seldom: four may be chance, five is not
        (False, False, False, "retry", 0, 0, 5, "poison"),
        # one of each kind is still chance
        (True, False, False, "retry", 0, 1, 4, "waiting"),
    ],
)
def test_the_owner_of_a_row_died(
    calling: bool,
    open_intent: bool,
    paid: bool,
    wish: str,
    ambiguous: int,
    deaths_calling: int,
    deaths_leased: int,
    expected: str,
) -> None:
    fate = on_death(
        calling=calling,
        open_intent=open_intent,
        paid=paid,
        on_ambiguous=wish,
        ambiguous=ambiguous,
        deaths_calling=deaths_calling,
        deaths_leased=deaths_leased,
    )
    assert fate == expected
