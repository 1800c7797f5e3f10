"""A replay from its options to its end: chosen, counted, made, fed, compared."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from prompts import PromptError, Wish
from schemas.money import to_usd
from schemas.replay import Comparison, ReplayPlan, ReplayReport
from schemas.request import REPLAYS
from store.ledger import chosen, queries, replays
from store.ledger.chosen import Chosen
from store.ledger.replays import Mode, Run
from store.ledger.types.claims import Pool
from streams import catalogue, dlq, topics
from streams.errors import SpineError
from streams.replay import choosing, diff, plan
from streams.replay.anew import Otherwise
from streams.replay.choosing import Told, usage
from streams.replay.feeding import Feeder
from streams.replay.parts import OPERATION_NAMES, Parts

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What the command line asks for."""

    mode: Mode
    told: Told
    ids_file: Path | None = None
    dead: bool = False
    otherwise: Otherwise = field(default_factory=Otherwise)
    budget_nano: int | None = None
    pks: tuple[int, ...] | None = None
    """Only these requests, by their keys."""


def otherwise(provider: str | None, model: str | None, prompt: str | None) -> Otherwise:
    """`prompt` as SLUG@VERSION, or SLUG for the one that a request would get. Raises SpineError."""
    if prompt is None:
        return Otherwise(provider, model)
    slug, at, number = prompt.partition("@")
    if at and not (number.isdecimal() and int(number) >= 1):
        raise usage(f"--prompt {prompt!r}: write SLUG@VERSION, such as headline@2.")
    return Otherwise(provider, model, slug, int(number) if at else None)


def settled(parts: Parts, job: Job) -> Job:
    """With the version that its prompt has now. Raises SpineError for one that there is not."""
    wanted = job.otherwise
    if wanted.prompt is None:
        return job
    tenant = job.told.tenant or parts.settings.default_tenant
    try:
        found, _ = parts.decoder.library.chosen(wanted.prompt, Wish(wanted.version, tenant=tenant))
    except PromptError as error:
        raise usage(f"--prompt {wanted.prompt}: {error}.") from None
    return replace(job, otherwise=replace(wanted, prompt=found.prompt.slug, version=found.version.version))


async def choose(parts: Parts, job: Job, bootstrap: str | None, tell: Tell) -> tuple[Chosen, str]:
    """Which requests, and a word on what the ledger does not remember of them. Raises SpineError."""
    told, named = job.told, job.otherwise.provider
    if named is not None and named not in parts.providers:
        raise usage(f"There is no provider {named!r}; there are {', '.join(sorted(parts.providers))}.")
    if job.otherwise.prompt is not None:
        if told.operation not in {None, "execute_prompt", "execute-prompt"}:
            raise usage("--prompt is for execute_prompt: leave --operation out.")
        told = told if job.pks is not None else replace(told, operation="execute_prompt")
    at = choosing.range_of(told, OPERATION_NAMES)
    wanted = replace(choosing.chosen_by(told, OPERATION_NAMES), originals=job.mode != "recorded")
    ids, words = choosing.ids_of(told.ids, job.ids_file), ""
    dead = await _dead(parts, bootstrap, tell) if job.dead and bootstrap is not None else None

    def narrow(conn: Connection) -> tuple[Chosen, str]:
        found, missing = chosen.settled(conn, wanted), words
        if job.pks is not None:
            found = choosing.only(found, job.pks)
        if ids:
            found = choosing.with_ids(conn, parts.settings, found, ids)
        if at is not None:
            found, missing = choosing.with_range(conn, found, at)
        if dead is not None:
            found = choosing.with_identities(conn, found, dead)
        return found, missing

    return await parts.database.read(narrow)


async def _dead(parts: Parts, bootstrap: str, tell: Tell) -> set[tuple[str, str, str]]:
    """Whose dead letters are open."""
    letters = await dlq.letters(bootstrap)
    named = {letter.identity for letter in letters if letter.identity is not None}
    states = await parts.database.read(lambda conn: queries.states_of(conn, named))
    now = dlq.became(letters, states)
    if nameless := sum(1 for letter in letters if letter.identity is None):
        tell(f"{nameless} dead letters name no request; `genai-spine dlq replay PARTITION/OFFSET` sends such records.")
    return {letter.identity for letter in letters if letter.identity is not None and now[letter.place] == "open"}


async def counted(parts: Parts, job: Job, wanted: Chosen, missing: str) -> ReplayPlan:
    """What it would do. Raises SpineError when nothing was chosen, or the model is not there."""

    def look(conn: Connection) -> tuple[ReplayPlan, set[Pool]]:
        return plan.made(conn, parts, job.mode, wanted, job.otherwise)

    found, pools = await parts.database.read(look)
    if not found.chosen:
        raise SpineError("No request fits. `genai-spine requests list` takes the same filters and shows what there is.")
    if job.otherwise.model is not None or job.otherwise.provider is not None:
        await _are_there(parts, pools)
    budget = None if job.budget_nano is None else to_usd(job.budget_nano)
    return found.model_copy(update={"missing": missing, "budget_usd": budget})


async def _are_there(parts: Parts, pools: set[Pool]) -> None:
    """Whether each provider has the model that it would be asked for; one that does not answer cannot be held to it."""
    asked = {name: parts.providers[name] for name, _ in pools}
    for section in await catalogue.sections(asked):
        there = sorted(model.name for model in section.models)
        for provider, model in sorted(pools):
            if provider == section.provider and section.lacks(model):
                raise usage(f"{provider} has no model {model!r}; it has {', '.join(there)}.")


def make_run(job: Job, wanted: Chosen) -> Run:
    """Under a name that tells its time."""
    name = f"{REPLAYS}{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
    return Run(name, job.mode, wanted, job.otherwise.as_json(), budget_nano=job.budget_nano)


async def feed(parts: Parts, run: Run, tell: Tell) -> ReplayReport:
    """To its end; what was begun before goes on where it stood."""
    if run.mode == "anew" and not run.options.get("quiet") and topics.REPLAYS not in parts.widths:
        raise SpineError(f"There is no topic {topics.REPLAYS}. Run `genai-spine topics create` first.")
    return await Feeder(parts, run, tell).feed()


async def begin(parts: Parts, job: Job, wanted: Chosen) -> Run:
    """Written down before its first batch."""
    run = make_run(job, wanted)
    await parts.database.write(lambda conn: replays.make(conn, run))
    return run


async def load(parts: Parts, name: str) -> Run:
    """Raises SpineError for a run that there is not."""
    wanted = choosing.run_name(name)
    found = await parts.database.read(lambda conn: replays.load(conn, wanted))
    if found is None:
        raise SpineError(f"There is no replay {name!r}; `genai-spine replay list` shows those that there are.")
    return found


async def reopened(parts: Parts, name: str, budget_nano: int | None) -> Run:
    """To be gone on with. What was left out for the budget is looked at again. Raises SpineError."""
    run = await load(parts, name)
    if budget_nano is not None and run.mode != "anew":
        raise usage(f"{run.run} costs nothing, so it has no budget.")
    if budget_nano is not None or (run.mode == "anew" and run.ended_at is not None):
        await parts.database.write(lambda conn: replays.reopen(conn, run.run, budget_nano))
        return await load(parts, name)
    if run.ended_at is not None:
        raise SpineError(f"{run.run} has done all that was chosen. Start another one to do it again.")
    return run


async def compared(parts: Parts, name: str) -> Comparison:
    """As far as it has come. Raises SpineError."""
    run = await load(parts, name)
    if run.mode != "anew":
        raise usage(f"{run.run} asked nothing anew (it was --{run.mode}), so there is nothing to compare.")

    def look(conn: Connection) -> Comparison:
        left = replays.left_out(conn, run.run)
        found = replays.all_pairs(conn, run.run)
        return diff.comparison(run.run, found, left_out=left, ended=run.ended_at is not None)

    return await parts.database.read(look)


def listed(run: Run) -> dict[str, Any]:
    """One line of the list, for a program."""
    budget = None if run.budget_nano is None else to_usd(run.budget_nano)
    return {
        "run": run.run,
        "mode": run.mode,
        "made_at": datetime.fromtimestamp(run.made_at, UTC).isoformat(),
        "ended": run.ended_at is not None,
        "sent": run.sent,
        "budget_usd": budget,
        "spent_usd": to_usd(run.spent_nano),
    }
