"""From what was asked for to a run in the ledger, whoever asks: a caller, or a schedule."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row

from agents.pipelines.defining import Shelf
from schemas.runs import NewRun
from store.ledger.quotas import UNBOUND, Most
from store.ledger.types.arrivals import Ask
from store.runs import jobs, write
from streams.decode import Decoder, sentence
from streams.jobs.base import Job
from streams.runs import asking, parts, pipelines
from streams.runs.kinds import BadRun


@dataclass(frozen=True, slots=True)
class Ready:
    """A run that was checked as a whole. `first`: its first item; None: it is a pipeline's, or calls no model, and `job` is what it
    says.
    """

    new: write.New
    parts: list[write.Part]
    first: Ask | None
    job: bytes | None = None
    pipeline: pipelines.Plan | None = None


def ready(
    asked: NewRun, tenant: str, decoder: Decoder, shelf: Shelf, key_id: str | None = None, minute: Most = UNBOUND
) -> Ready:
    """Raises `BadRun`. `key_id`: whose key brought it; `minute`: what that one may ask in one."""
    if asked.kind == pipelines.KIND:
        found = pipelines.planned(asked, tenant, shelf, key_id, minute)
        return Ready(found.new, [], None, pipeline=found)
    plan = asking.planned(asked, tenant, key_id, minute)
    if plan.kind.job is not None:
        return Ready(plan.new, [], None, params_of(asked, plan.kind.job))
    lines = asking.items(plan, asked, decoder)
    return Ready(plan.new, list(parts.packed(0, lines)), asking.ask(plan.new, lines[0], 0, decoder))


def params_of(asked: NewRun, job: Job) -> bytes:
    """What a run that calls no model says, as it is kept. Raises `BadRun`."""
    if asked.options.model_fields_set:
        raise BadRun(f"`options` are of calls, and {asked.name!r} makes none; say what it needs in `params`")
    try:
        told = job.params.model_validate(asked.params)
    except ValidationError as error:
        raise BadRun(f"`params` of {asked.name!r}: {sentence(error)}") from None
    return told.model_dump_json(exclude_unset=True).encode()


def make(conn: Connection, what: Ready, owner: str) -> tuple[Row[Any], bool]:
    """The run, and whether it is new. Raises `write.Conflict`."""
    if what.pipeline is not None:
        return pipelines.make(conn, what.pipeline, owner)
    if what.job is not None:
        return jobs.make(conn, what.new, owner, what.job)
    return write.make(conn, what.new, owner, what.parts)
