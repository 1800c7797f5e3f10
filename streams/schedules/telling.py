"""Schedules as others see them: over HTTP and at the command line."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from schemas.schedules import LastFiring, NewSchedule, Schedule
from streams.schedules import cron as crons

_HIDDEN = "…"


def shown(row: Row[Any], at: float, most: int = 0) -> Schedule:
    """A schedule as it stands; `most`: how many of its next firings are told. The secret of a webhook stays here."""
    said = NewSchedule.model_validate_json(row.said)
    run = said.run.model_dump(mode="json", exclude_unset=True)
    if run.get("webhook"):
        run["webhook"]["secret"] = _HIDDEN
    next_ = [] if row.paused or not most else crons.upcoming(said.cron, crons.zone_of(said.timezone), at, most)
    return Schedule(
        name=row.name,
        source=row.source,
        cron=said.cron,
        timezone=said.timezone,
        overlap=said.overlap,
        catch_up=said.catch_up,
        paused=row.paused,
        description=said.description,
        run=run,
        next_at=moment(row.next_at),
        next=[found for found in map(moment, next_) if found is not None],
        queued_at=moment(row.queued_at),
        last=_last(row),
        fired=row.fired,
        skipped=row.skipped,
        missed=row.missed,
        failed=row.failed,
        error=row.error,
        made_at=datetime.fromtimestamp(row.made_at, UTC),
        changed_at=datetime.fromtimestamp(row.changed_at, UTC),
    )


def _last(row: Row[Any]) -> LastFiring | None:
    planned, fired = moment(row.last_planned_at), moment(row.last_fired_at)
    if planned is None or fired is None:
        return None
    return LastFiring(
        planned_at=planned, fired_at=fired, run_id=row.last_run_id, kind=row.run_kind, status=row.run_status
    )


def moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
