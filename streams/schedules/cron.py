"""When a cron expression fires, in a time zone. Pure; times are seconds since 1970.

The rules at a change of the clocks are those of Debian's cron, which `cronsim` follows: what is planned for an hour that is
left out fires when that hour would have begun to be over, and what is planned for an hour that comes twice fires in the first
one; an expression whose minute or hour begins with a star goes by the time that passes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from providers.marked import near

_FIELDS = 5
_AROUND = timedelta(hours=4)
"""More than any change of clocks."""
_MOST_COUNTED = 1_000


class BadCron(ValueError):
    """It is no cron expression of five fields, or it never fires; the message says what to do."""


class BadZone(ValueError):
    """There is no such time zone; the message names near ones."""


def zone_of(name: str) -> tzinfo:
    """Raises `BadZone`."""
    if name == "UTC":
        return UTC
    known = available_timezones()
    if name not in known:
        meant = near(name, known)
        hint = f"did you mean {' or '.join(meant)}?" if meant else "write one such as Europe/Vienna, or UTC"
        raise BadZone(f"there is no time zone {name[:100]!r}; {hint}")
    return ZoneInfo(name)


def check(cron: str, zone: tzinfo, at: float) -> None:
    """Raises `BadCron` unless it fires some day."""
    words = f"{cron[:100]!r}"
    fields = cron.split()
    if len(fields) != _FIELDS:
        told = "minute, hour, day of the month, month, day of the week, such as `30 2 * * *`"
        raise BadCron(f"{words} has {len(fields)} fields; write five: {told}")
    try:
        CronSim(cron, datetime.now(UTC))
    except CronSimError as error:
        if _is_well_formed(fields):
            raise BadCron(f"{words} never fires: none of its months has such a day") from None
        raise BadCron(f"{words} is no cron expression: {str(error)[:1].lower()}{str(error)[1:]}") from None
    if after(cron, zone, at) is None:
        raise BadCron(f"{words} never fires: in fifty years there is no such day")


def _is_well_formed(fields: list[str]) -> bool:
    """With every month it would be one."""
    try:
        CronSim(" ".join([*fields[:3], "*", fields[4]]), datetime.now(UTC))
    except CronSimError:
        return False
    return True


def times(cron: str, zone: tzinfo, after_: float) -> Iterator[float]:
    """Its firings later than that, each once."""
    last = after_
    for found in CronSim(cron, datetime.fromtimestamp(after_, zone)):
        at = found.timestamp()
        if at > last:  # where clocks change the same moment may come twice, or one that was before
            last = at
            yield at


def after(cron: str, zone: tzinfo, at: float) -> float | None:
    """The next firing; None: there is none in fifty years."""
    return next(times(cron, zone, at), None)


def upcoming(cron: str, zone: tzinfo, at: float, most: int) -> list[float]:
    """The next few."""
    return list(islice(times(cron, zone, at), most))


def latest(cron: str, zone: tzinfo, first: float, now: float) -> float:
    """The newest firing from `first`, which is one, up to now: found from behind, however many there were."""
    newest = first
    before = next(CronSim(cron, datetime.fromtimestamp(now + 1, zone), reverse=True), None)
    if before is not None:
        newest = max(first, (before - _AROUND).timestamp())
    found = first
    for at in times(cron, zone, newest):
        if at > now:
            break
        found = at
    return found


def counted(cron: str, zone: tzinfo, first: float, now: float) -> int:
    """How many firings there were from `first`, which is one, up to now; at most a thousand are counted."""
    count = 1
    for at in times(cron, zone, first):
        if at > now or count == _MOST_COUNTED:
            break
        count += 1
    return count
