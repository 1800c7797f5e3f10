"""`warm_models`: models loaded into the memory of the Ollama nodes before somebody waits for them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from providers import http
from providers.ollama import with_scheme
from providers.ollama_pool import Done, Pool
from providers.outbound import listed
from schemas.request import Name
from streams.jobs.base import Context, Failed, Job

_WITHIN_S = 600.0


class Params(BaseModel):
    """`models`: with their tags; `nodes`: only these of GENAI_OLLAMA_URL; `keep_alive`: as Ollama writes it."""

    model_config = ConfigDict(extra="forbid")

    models: Annotated[list[Name], Field(min_length=1, max_length=50)]
    nodes: Annotated[list[Name], Field(min_length=1)] | None = None
    keep_alive: Annotated[str, Field(max_length=20)] | None = None


async def work(context: Context, params: Params) -> dict[str, Any]:
    """One model after the other, on all nodes side by side. A node that has it already says so at once."""
    told = context.settings
    pool = Pool(
        told.ollama_nodes(),
        num_ctx=told.ollama_num_ctx,
        keep_alive=told.ollama_keep_alive,
        outbound=listed(told.outbound()),
    )
    try:
        nodes = _chosen(pool.nodes(), params.nodes)
        ends = {model: await pool.warm(nodes, model, params.keep_alive, _WITHIN_S) for model in params.models}
    finally:
        await pool.aclose()
    if bad := [_words(model, done) for model, each in ends.items() for done in each if done.why is not None]:
        raise Failed("; ".join(bad[:5]), again=True)
    return {"loaded": {model: [done.node for done in each] for model, each in ends.items()}}


def _chosen(known: tuple[str, ...], only: list[str] | None) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(http.address(with_scheme(each)).name for each in only or known))
    if unknown := [each for each in named if each not in known]:
        raise Failed(f"{', '.join(unknown)} is not in GENAI_OLLAMA_URL, which names {', '.join(known)}")
    return named


def _words(model: str, done: Done) -> str:
    return f"{model} at {done.node}: {done.why}"


JOB = Job(Params, work)
