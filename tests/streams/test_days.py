"""Days and moments as people write them."""

import pytest

from streams import days

pytestmark = pytest.mark.fast


def test_days_are_both_included_and_thirty_by_default() -> None:
    first, last = days.span(None, "2026-01-30")
    assert (str(first), str(last)) == ("2026-01-01", "2026-01-30")


@pytest.mark.parametrize(
    "told",
    [
        "yesterday",
        "2026-02-30",
        "20260130",
        "2026-W01-1",
        "2026-01-01x",
        "2026-01-01T00:00:00Z",
    ],
)
def test_what_is_no_day_is_refused_by_name(told: str) -> None:
    with pytest.raises(ValueError, match=r"to=.* is no day; write YYYY-MM-DD"):
        days.span(None, told)


@pytest.mark.parametrize("told", ["0001-01-01", "1969-12-31", "9999-12-31"])
def test_a_day_beyond_the_first_and_the_last_is_told_both(told: str) -> None:
    with pytest.raises(ValueError, match=f"to={told} cannot be asked for; days from 1970-01-01 to 9998-12-31 can"):
        days.span(None, told)


def test_days_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match="exchange them"):
        days.span("2026-02-01", "2026-01-01")


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, (None, None)),
        ("1970-01-02", "1970-01-02", (86_400.0, 172_800.0)),  # a day is all of it
        ("1970-01-01T00:00:10Z", "1970-01-01T02:00:00+01:00", (10.0, 3600.0)),
    ],
)
def test_moments_begin_with_from_and_end_before_to(
    first: str | None, last: str | None, expected: tuple[float | None, float | None]
) -> None:
    assert days.moments(first, last) == expected


@pytest.mark.parametrize(
    "told", ["soon", "2026-01-01T10:00:00", "10:00", "2026-13-01", "9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"]
)
def test_a_moment_without_its_zone_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"from=.* is no (moment|day)"):
        days.moments(told, None)
