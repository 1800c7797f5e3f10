"""From a pipeline that was asked for to its run: the definition as it is now, its inputs, and who must be asked about models."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from agents.pipelines import references, shapes
from agents.pipelines.defining import Shelf
from agents.pipelines.references import Missing, Reference
from schemas.pipelines import Pipeline, Step
from schemas.runs import NewRun
from store.ledger.quotas import Most
from store.ledger.types.arrivals import Ask
from store.runs import steps, write
from streams.decode import Decoder
from streams.runs import asking
from streams.runs.kinds import OPTIONS, BadRun, Kind

KIND = "pipeline"
_OF = Kind(KIND)
_ANY_INPUT = {"content": "x", "prompt": "x", "categories": ["a", "b"], "items": ["x", "y"], "instructions": "x"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline's run that can be made."""

    new: write.New
    pipeline: Pipeline
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What references of a definition's options lead to: inputs only."""

    inputs: Mapping[str, Any]

    def value(self, reference: Reference) -> Any:
        return references.walk(self.inputs[reference.path[0]], reference.path[1:], reference.text)


def planned(asked: NewRun, tenant: str, shelf: Shelf, key_id: str | None, minute: Most) -> Plan:
    """Raises `BadRun`. `key_id`: whose key brought it; `minute`: what that one may ask in one."""
    pipeline = shelf.pipelines.get(asked.name.replace("-", "_"))
    if pipeline is None:
        near = get_close_matches(asked.name, shelf.pipelines, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise BadRun(f"there is no pipeline {asked.name!r}; there are {', '.join(shelf.pipelines)}{hint}")
    asked = asked.model_copy(update={"name": pipeline.name})
    plan = asking.planned(asked, tenant, key_id, minute, _OF)
    return Plan(plan.new, pipeline, _inputs(asked, pipeline), plan.common["options"])


def _inputs(asked: NewRun, pipeline: Pipeline) -> dict[str, Any]:
    """Each with its value or its default. Raises `BadRun` that names all that is wrong."""
    wrong, found = [], {}
    for name in asked.params.keys() - pipeline.inputs.keys() - OPTIONS:
        near = get_close_matches(name, pipeline.inputs, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        wrong.append(
            f"`params.{name}` is no input of {pipeline.name!r}{hint}; it has {', '.join(pipeline.inputs) or 'none'}"
        )
    for name, told in pipeline.inputs.items():
        if name not in asked.params:
            if told.required:
                wrong.append(f"`params.{name}` is missing; the pipeline needs it ({told.type})")
            found[name] = told.default
            continue
        found[name] = value = asked.params[name]
        optional = value is None and not told.required and told.default is None
        why = None if optional else shapes.wrong_input(value, told)
        if why is not None:
            wrong.append(f"`params.{name}` {why}")
    if wrong:
        raise BadRun("; ".join(wrong))
    return found


def make(conn: Connection, plan: Plan, owner: str) -> tuple[Row[Any], bool]:
    """The run, and whether it is new. Raises `write.Conflict`."""
    row, is_new = write.make(conn, plan.new, owner, [])
    if not is_new:
        return row, False
    told = {
        "definition": plan.pipeline.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "inputs": dict(plan.inputs),
    }
    steps.make(conn, row.tenant, row.id, told, [(step.name, step.use) for step in plan.pipeline.steps])
    return row, True


def options_of(step: Step, run_options: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Of a step's requests: the run's, and the step's own before them; null stands for the usual one. Raises `Missing`."""
    own = references.filled(references.read(step.options), Inputs(inputs))
    return {name: value for name, value in {**run_options, **own}.items() if value is not None}


def typical(plan: Plan, shelf: Shelf, decoder: Decoder) -> Iterator[tuple[Step, Ask]]:
    """A request of each step that calls a model, as far as it is known now: what the caller must be allowed to ask."""
    for step in plan.pipeline.steps:
        operation = shelf.known.operations.get(step.use)
        if operation is None:
            continue
        try:
            options = options_of(step, plan.options, plan.inputs)
        except Missing as error:
            raise BadRun(f"the step {step.name!r}: {error}") from error
        line = orjson.dumps({"options": options, "input": _ANY_INPUT})
        # a chat with the same options shows which model is meant, where such a text is no input
        for name in (step.use, "complete"):
            what = asking.ask(replace(plan.new, operation=name), line, 0, decoder)
            if what.failure is None:
                break
        else:
            raise BadRun(f"the step {step.name!r}: {'' if what.failure is None else what.failure.message}")
        yield step, replace(what, operation=step.use)
