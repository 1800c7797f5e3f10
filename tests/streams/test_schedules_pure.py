"""What of schedules decides without a world: when a cron expression fires, what is done about it, what a file says."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.marked import Broken
from schemas.schedules import NewSchedule
from streams.schedules import cron, file, filling
from streams.schedules.checking import World
from streams.schedules.planning import LATE_S, Decision, Standing, Timing, decide

pytestmark = pytest.mark.fast

VIENNA = ZoneInfo("Europe/Vienna")
BY_HOURS = [UTC, VIENNA, *map(ZoneInfo, ("America/New_York", "Asia/Kathmandu", "Africa/Cairo", "Antarctica/Troll"))]
ZONES = [*BY_HOURS, ZoneInfo("Australia/Lord_Howe")]
"""On Lord Howe clocks change by half an hour: there hours with a star are a little off on those two days."""


def at(told: str) -> float:
    """A moment in UTC."""
    return datetime.fromisoformat(f"{told}+00:00").timestamp()


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 2 * * *", UTC, "2026-03-28 02:30", ["2026-03-29 02:30", "2026-03-30 02:30"]),
        # in Vienna 02:00 to 03:00 is left out on the 29th of March: it fires at 03:00, which is 01:00 in UTC
        ("30 2 * * *", VIENNA, "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
        ("15,45 2 * * *", VIENNA, "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:15"]),  # once for both
        ("0 3 * * *", VIENNA, "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 01:00"]),
        # 02:00 to 03:00 comes twice on the 25th of October: it fires in the first one, before 01:00 in UTC
        ("30 2 * * *", VIENNA, "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("30 2 * * *", VIENNA, "2026-10-25 00:45", ["2026-10-26 01:30"]),  # asked between both
        ("30 2 * * *", VIENNA, "2026-10-25 01:10", ["2026-10-26 01:30"]),  # asked in the second one
        # with a star it goes by the time that passes: every hour has one
        ("30 * * * *", VIENNA, "2026-03-29 00:00", ["2026-03-29 00:30", "2026-03-29 01:30"]),
        ("30 * * * *", VIENNA, "2026-10-25 00:00", ["2026-10-25 00:30", "2026-10-25 01:30"]),
        ("*/20 2 * * *", VIENNA, "2026-10-25 00:30", ["2026-10-25 00:40", "2026-10-25 01:00", "2026-10-25 01:20"]),
        ("0 0 29 2 *", UTC, "2026-03-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 9 * * MON-FRI", VIENNA, "2026-11-20 12:00", ["2026-11-23 08:00"]),
        ("0 0 L * *", UTC, "2026-02-01 00:00", ["2026-02-28 00:00", "2026-03-31 00:00"]),
    ],
)
def test_it_fires_at_these_moments(expression: str, zone: ZoneInfo, after: str, expected: list[str]) -> None:
    assert cron.upcoming(expression, zone, at(after), len(expected)) == [at(each) for each in expected]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * *", "has 4 fields; write five"),
        ("* * * * * *", "has 6 fields; write five"),
        ("61 * * * *", "is no cron expression: bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 0 * * FOO", "bad day-of-week"),
        ("@daily", "has 1 fields"),
        ("0 0 30 2 *", "never fires: none of its months has such a day"),
        ("0 0 31 4,6 *", "never fires"),
        ("0 0 */31 2 MON#5", "never fires: in fifty years"),
    ],
)
def test_what_never_fires_or_is_no_expression_says_so(expression: str, words: str) -> None:
    with pytest.raises(cron.BadCron, match="^.*" + words.replace("*", r"\*")):
        cron.check(expression, UTC, at("2026-11-21 00:00"))


def test_an_unknown_zone_names_those_that_may_be_meant() -> None:
    with pytest.raises(cron.BadZone, match="did you mean Europe/Vienna"):
        cron.zone_of("Europe/Viena")
    with pytest.raises(cron.BadZone, match="write one such as"):
        cron.zone_of("Nowhere at all")


moments = st.integers(int(at("2024-01-01 00:00")), int(at("2029-01-01 00:00"))).map(float)
fields = st.tuples(
    st.sampled_from(["0", "30", "*/15", "59", "5,50"]),
    st.sampled_from(["*", "2", "*/6", "0", "1-3", "23"]),
    st.sampled_from(["*", "1", "29", "L"]),
    st.sampled_from(["*", "3", "10", "4-9"]),
    st.sampled_from(["*", "SUN", "1-5"]),
)


@given(fields.map(" ".join), st.sampled_from(BY_HOURS), moments)
def test_firings_go_forward_and_do_not_depend_on_when_somebody_asks(
    expression: str, zone: ZoneInfo, start: float
) -> None:
    found = cron.upcoming(expression, zone, start, 6)
    assert found == sorted(set(found)) and found[0] > start
    for one, next_ in pairwise(found):
        assert cron.after(expression, zone, one) == next_
        assert cron.after(expression, zone, (one + next_) // 2) == next_
        assert cron.latest(expression, zone, found[0], (one + next_) // 2) == one
    assert cron.counted(expression, zone, found[0], found[-1]) == 6


@given(st.integers(0, 23), st.integers(0, 59), st.sampled_from(ZONES), moments)
def test_a_daily_time_comes_once_a_day_at_its_time_unless_the_day_has_none(
    hour: int, minute: int, zone: ZoneInfo, start: float
) -> None:
    found = cron.upcoming(f"{minute} {hour} * * *", zone, start, 40)
    local = [datetime.fromtimestamp(each, zone) for each in found]
    days = [each.date() for each in local]
    whole = [days[0] + timedelta(days=n) for n in range((days[-1] - days[0]).days + 1)]
    skipped = {day for day in whole if _has_no(day, hour, minute, zone)}
    assert len(days) == len(set(days)) and set(whole) - set(days) <= skipped
    for each in local:
        if each.date() not in skipped:
            assert (each.hour, each.minute, each.fold) == (hour, minute, 0)


def _has_no(day: "datetime.date", hour: int, minute: int, zone: ZoneInfo) -> bool:
    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    return wall.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall.replace(tzinfo=None)


@given(st.integers(1, 59), st.sampled_from(ZONES), moments)
def test_an_expression_with_stars_goes_by_the_minutes_that_pass(step: int, zone: ZoneInfo, start: float) -> None:
    minute = int(start // 60) + 1
    expected = [
        60.0 * each
        for each in range(minute, minute + 300)
        if datetime.fromtimestamp(60 * each, zone).minute % step == 0
    ]
    assert cron.upcoming(f"*/{step} * * * *", zone, start, len(expected)) == expected


HOURLY = Timing("0 * * * *", UTC)
T = at("2026-11-21 10:00")
H = 3600.0


@pytest.mark.parametrize(
    ("timing", "standing", "now", "expected"),
    [
        # not due yet
        (HOURLY, Standing(T), T - 1, Decision(None, T, None)),
        # due, a second late
        (HOURLY, Standing(T), T + 1, Decision(T, T + H, None)),
        # three were due, the newest fires, two are missed
        (HOURLY, Standing(T), T + 2 * H + 1, Decision(T + 2 * H, T + 3 * H, None, missed=2)),
        # nobody ran for 1,000 hours and more: one fires, and so many are counted at most
        (HOURLY, Standing(T), T + 5000 * H + 600, Decision(T + 5000 * H, T + 5001 * H, None, missed=999)),
        # without catching up none of it fires once it is too late ...
        (Timing("0 * * * *", UTC, "skip", False), Standing(T), T + LATE_S + 1, Decision(None, T + H, None, missed=1)),
        # ... but who took over from a dead leader is in time
        (Timing("0 * * * *", UTC, "skip", False), Standing(T), T + LATE_S, Decision(T, T + H, None)),
        # the run before goes on: left out, or one waits
        (HOURLY, Standing(T, busy=True), T + 1, Decision(None, T + H, None, skipped=1)),
        (Timing("0 * * * *", UTC, "queue"), Standing(T, busy=True), T + 1, Decision(None, T + H, T)),
        # one waits already: the next is left out, so that nothing piles up
        (Timing("0 * * * *", UTC, "queue"), Standing(T, T - H, True), T + 1, Decision(None, T + H, T - H, skipped=1)),
        # the run before has ended: what waited fires, by its own planned time, due or not
        (Timing("0 * * * *", UTC, "queue"), Standing(T, T - H), T - 600, Decision(T - H, T, None)),
        # and what is due at that moment waits for it
        (Timing("0 * * * *", UTC, "queue"), Standing(T, T - H), T + 1, Decision(T - H, T + H, T)),
        # never again
        (HOURLY, Standing(None), T, Decision(None, None, None)),
    ],
)
def test_what_is_done_now(timing: Timing, standing: Standing, now: float, expected: Decision) -> None:
    assert decide(timing, standing, now) == expected


@given(
    fields.map(" ".join),
    st.sampled_from(BY_HOURS),
    moments,
    st.lists(st.tuples(st.integers(1, 200_000), st.booleans()), min_size=1, max_size=12),
    st.sampled_from(["skip", "queue"]),
    st.booleans(),
)
def test_nothing_fires_twice_and_everything_is_accounted_for(
    expression: str, zone: ZoneInfo, start: float, looks: list[tuple[int, bool]], overlap: str, catch_up: bool
) -> None:
    """Whenever somebody looks, and however long nobody did."""
    timing = Timing(expression, zone, overlap, catch_up)  # type: ignore[arg-type]
    standing, now = Standing(cron.after(expression, zone, start)), start
    fired: list[float] = []
    skipped = missed = 0
    for seconds, busy in looks:
        now += seconds
        found = decide(timing, Standing(standing.next_at, standing.queued_at, busy), now)
        fired += [] if found.fire is None else [found.fire]
        skipped, missed = skipped + found.skipped, missed + found.missed
        standing = Standing(found.next_at, found.queued_at)
        assert standing.next_at is None or standing.next_at > now
    assert fired == sorted(set(fired)) and all(each <= now for each in fired)
    due = sum(1 for _ in _until(expression, zone, start, now))
    if due < 1000:
        assert len(fired) + skipped + missed + (standing.queued_at is not None) == due


def _until(expression: str, zone: ZoneInfo, start: float, end: float) -> "list[float]":
    found = []
    for each in cron.times(expression, zone, start):
        if each > end or len(found) == 1000:
            break
        found.append(each)
    return found


def test_a_run_is_told_its_planned_time_in_the_zone_of_its_schedule() -> None:
    said = NewSchedule.model_validate(
        {
            "cron": "30 0 * * *",
            "run": {
                "kind": "task",
                "name": "aggregate_costs",
                "params": {"date": "${yesterday}", "deep": [{"x": "at ${planned}, ${other}"}], "n": 3},
                "metadata": {"day": "${date}"},
            },
        }
    )
    planned = at("2026-11-20 23:30")  # the 21st, 00:30, in Vienna
    assert filling.filled("rollup", said, planned, VIENNA) == {
        "kind": "task",
        "name": "aggregate_costs",
        "params": {"date": "2026-11-20", "deep": [{"x": "at 2026-11-20T23:30:00Z, ${other}"}], "n": 3},
        "metadata": {"day": "2026-11-21"},
        "idempotency_key": "schedule/rollup/2026-11-20T23:30:00Z",
    }


WORLD = World("default", ())
GOOD = """schedules:
  rollup:
    cron: "10 0 * * *"
    run: {kind: task, name: aggregate_costs, params: {date: "${yesterday}"}, idempotency_key: "cost_rollup_${yesterday}"}
"""


def test_a_file_in_order_is_read() -> None:
    (found,) = file.parse(GOOD.encode(), "s.yaml", WORLD).items()
    assert (found[0], found[1].cron, found[1].timezone, found[1].run.name) == (
        "rollup",
        "10 0 * * *",
        "UTC",
        "aggregate_costs",
    )


ROOT = Path(__file__).parents[2]


def test_the_files_that_are_shown_and_shipped_are_in_order() -> None:
    page = (ROOT / "docs/how-to/schedules.md").read_text().replace("whsec_…", f"whsec_{'YWJj' * 8}")
    shown = page.split("```yaml\n")[1].split("```")[0]
    shipped = (ROOT / "deploy/schedules/schedules.yaml").read_text()
    found = [sorted(file.parse(text.encode(), "s.yaml", WORLD)) for text in (shown, shipped)]
    assert found == [["cost_rollup", "morning_news", "price_check"], ["cost_rollup", "price_check"]]


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ('"10 0 * * *"', '"0 0 31 2 *"', "s.yaml:3:5: `rollup`: '0 0 31 2 *' never fires"),
        ('"10 0 * * *"', "often", "s.yaml:3:5: `rollup`: 'often' has 1 fields; write five"),
        ("cron:", "timezone: Europe/Wien\n    cron:", "s.yaml:3:5: `rollup`: there is no time zone 'Europe/Wien'"),
        ("name: aggregate_costs", "name: agregate_costs", "s.yaml:4:23: `rollup`: there is no task 'agregate_costs'"),
        ("kind: task", "kind: job", "s.yaml:4:11: `schedules.rollup.run.kind`: input should be 'task'"),
        ("params: {date", "params: {dat", "s.yaml:4:46: `rollup`: `params` of 'aggregate_costs': `dat`"),
        (
            "    cron",
            "    overlapp: queue\n    cron",
            "s.yaml:3:5: `overlapp` is not known here; did you mean `overlap`?",
        ),
        ("_${yesterday}", "", "'cost_rollup' is the same at each firing, so only the first would run"),
        ("kind: task", "kind: task, id: x", "s.yaml:4:23: `rollup`: each firing is another run"),
        (
            "kind: task",
            'kind: task, deadline: "2026-11-21T10:00:00Z"',
            "every firing after this moment would be expired",
        ),
        ("  rollup:", "  Roll Up:", "s.yaml:2:3: `schedules.Roll Up`"),
        (GOOD, "", "s.yaml:1:1: the file is empty; write `schedules:` and names below it"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(was: str, now: str, words: str) -> None:
    with pytest.raises(Broken) as found:
        file.parse(GOOD.replace(was, now).encode(), "s.yaml", WORLD)
    assert words in str(found.value)
