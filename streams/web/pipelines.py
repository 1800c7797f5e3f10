"""`/v1/pipelines…`, and runs of them: which there are, how one is submitted, and what a retry runs again."""

from typing import Any

import orjson
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from agents.pipelines import drawing
from schemas.errors import ErrorType
from schemas.pipelines import Pipeline
from store.runs import steps
from streams.runs import pipelines
from streams.runs.kinds import BadRun
from streams.spine import Spine
from streams.web import queries
from streams.web.front import Front
from streams.web.looking import read as look_up
from streams.web.principal import Principal
from streams.web.problems import Problem
from streams.web.replies import json, tagged


async def listed(front: Front, request: Request) -> Response:
    """The pipelines that can be run here, with their inputs and steps."""
    queries.told(request, ())
    found = front.parts().pipelines.pipelines.values()
    return tagged(request, orjson.dumps({"items": [_told(each) for each in found]}))


async def one(front: Front, request: Request) -> Response:
    """One pipeline: its definition, and a drawing of it in Mermaid."""
    queries.told(request, ())
    found = front.parts().pipelines.pipelines
    name = request.path_params["pipeline"]
    if name not in found:
        raise Problem(404, f"There is no pipeline {name[:200]!r}; there are {', '.join(found)}.")
    return json(_told(found[name]) | {"mermaid": drawing.mermaid(found[name])})


def _told(pipeline: Pipeline) -> dict[str, Any]:
    return pipeline.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"description": pipeline.description}


def check(spine: Spine, plan: pipelines.Plan, who: Principal) -> None:
    """Raises `Problem`: 403, 422. What it will ask is held against the caller's key now, as nobody is asked later."""
    try:
        for step, what in pipelines.typical(plan, spine.pipelines, spine.decoder):
            who.check(what)
            if step.use == "execute_prompt" and not who.may("models", "*/*") and not _names_a_model(step, plan):
                raise Problem(
                    403,
                    f"The step {step.name!r} may go to whichever model its prompt prefers, and this key is not for every "
                    "model: name one in the run's options.",
                    error=ErrorType.REFUSED,
                )
    except BadRun as error:
        raise Problem(422, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


def _names_a_model(step: Any, plan: pipelines.Plan) -> bool:
    return "model" in pipelines.options_of(step, plan.options, plan.inputs)


async def failed_steps(front: Front, row: Row[Any]) -> list[str]:
    """What a retry runs again. Raises `Problem` 409."""
    found, plan = await look_up(
        front.parts(), lambda conn: (steps.failed(conn, row.tenant, row.id), steps.plan(conn, row.tenant, row.id))
    )
    if plan is None:
        raise Problem(
            409, f"The inputs of the run {row.id!r} are no longer kept (GENAI_KEEP_BODIES_DAYS); submit it anew."
        )
    return list(found)
