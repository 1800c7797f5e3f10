# Made by `python -m scripts.client` from schemas/schedules.py; change it there.
"""The words of `schedules.yaml` and of `/v1/schedules`: when, and which run."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from genai_spine_client.schemas.runs import NewRun, RunKind, Status

ScheduleName = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)]
Cron = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
Overlap = Literal["skip", "queue"]


class NewSchedule(BaseModel):
    """When a run is submitted, and which: `run` is the body of `POST /v1/runs`.

    `cron`: five fields, read in `timezone`. `overlap`: while the run before goes on, the next one is left out (`skip`) or one
    waits for its end (`queue`). `catch_up`: whether what fell due while nobody ran is made up for, once. In the texts of the
    run's params, its metadata and its idempotency key `${date}`, `${yesterday}` and `${planned}` stand for the planned time.
    """

    model_config = ConfigDict(extra="forbid")

    cron: Cron
    timezone: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=100)] = "UTC"
    run: NewRun
    overlap: Overlap = "skip"
    catch_up: Annotated[bool, Field(strict=True)] = True
    paused: Annotated[bool, Field(strict=True)] = False
    description: Annotated[str, StringConstraints(strict=True, max_length=1000)] = ""


class File(BaseModel):
    """`schedules.yaml`."""

    model_config = ConfigDict(extra="forbid", title="GenAI Spine: schedules.yaml")

    schedules: dict[ScheduleName, NewSchedule]


class LastFiring(BaseModel):
    """What a schedule has submitted last."""

    planned_at: AwareDatetime
    fired_at: AwareDatetime
    run_id: str
    kind: RunKind | None
    status: Status | None


class Schedule(BaseModel):
    """A schedule as it stands. `next_at` is null while it is paused; `queued_at`: a firing that waits for the run before."""

    name: str
    source: Literal["file", "api"]
    cron: str
    timezone: str
    overlap: Overlap
    catch_up: bool
    paused: bool
    description: str
    run: dict[str, Any]
    next_at: AwareDatetime | None
    next: list[AwareDatetime] = []
    queued_at: AwareDatetime | None
    last: LastFiring | None
    fired: int
    skipped: int
    missed: int
    failed: int
    error: str | None
    made_at: AwareDatetime
    changed_at: AwareDatetime
