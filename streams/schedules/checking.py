"""Whether a schedule can be used: told before anything is kept, with the part of it that is wrong."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from agents.pipelines.defining import Shelf
from providers.marked import Path
from schemas.runs import NewRun
from schemas.schedules import NewSchedule
from streams.decode import Decoder, sentence
from streams.runs import kinds, making, receivers
from streams.runs.kinds import BadRun, Kind
from streams.runs.pipelines import KIND
from streams.schedules import cron as crons
from streams.schedules import filling


class Wrong(ValueError):
    """It cannot be used; `path` is the part of it that is wrong, and the message says what to do."""

    def __init__(self, path: Path, words: str) -> None:
        super().__init__(words)
        self.path = path


@dataclass(frozen=True, slots=True)
class World:
    """What a run is held against. `decoder` and `shelf` None: there is none yet, so a run's params are not looked at."""

    tenant: str
    outbound: Iterable[str]
    decoder: Decoder | None = None
    shelf: Shelf | None = None
    prompts: bool = True
    """Whether prompts are known by now; else runs of them are not tried."""


def check(name: str, said: NewSchedule, at: float, world: World) -> None:
    """Raises `Wrong`. The run is tried as if it were planned for now."""
    try:
        zone = crons.zone_of(said.timezone)
    except crons.BadZone as error:
        raise Wrong(("timezone",), str(error)) from None
    try:
        crons.check(said.cron, zone, at)
    except crons.BadCron as error:
        raise Wrong(("cron",), str(error)) from None
    _check_run(said.run, world)
    try:
        new = NewRun.model_validate(filling.filled(name, said, at, zone))
    except ValidationError as error:
        raise Wrong(("run",), sentence(error)) from None
    try:
        kind = None if new.kind == KIND else kinds.of(new)[1]
        kinds.lane_of(new)
    except BadRun as error:
        raise Wrong(("run", "name"), str(error)) from None
    try:
        _try(new, kind, world)
    except BadRun as error:
        raise Wrong(("run", "params"), str(error)) from None


def _try(new: NewRun, kind: Kind | None, world: World) -> None:
    if kind is not None and kind.job is not None:
        making.params_of(new, kind.job)
        return
    needs_prompts = kind is not None and kind.operation == "execute_prompt"
    if world.decoder is not None and world.shelf is not None and (world.prompts or not needs_prompts):
        making.ready(new, new.tenant or world.tenant, world.decoder, world.shelf)


def _check_run(run: NewRun, world: World) -> None:
    """What one run may say and many may not."""
    if run.id is not None:
        raise Wrong(("run", "id"), "each firing is another run, so none can have this id; leave `id` out")
    if run.deadline is not None:
        raise Wrong(("run", "deadline"), "every firing after this moment would be expired; leave `deadline` out")
    if run.idempotency_key is not None and "${" not in run.idempotency_key:
        words = "is the same at each firing, so only the first would run; write ${planned} or ${date} into it"
        raise Wrong(("run", "idempotency_key"), f"{run.idempotency_key[:100]!r} {words}")
    if run.webhook is not None and (why := receivers.wrong(run.webhook, world.outbound)):
        raise Wrong(("run", "webhook"), why)
