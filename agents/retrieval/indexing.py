"""The steps of a question to documents that know what was embedded before: what is new is embedded, all of it is looked through.

Which model embedded, the results in the ledger say, and no definition: vectors of two models are never compared. Whoever
only looks at pipelines imports this too, so the ledger is imported where it is asked.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson

from agents.base import InvalidAnswer, NotHere
from agents.pipelines.functions import Function, Run
from agents.retrieval.nearest import MOST, Near

if TYPE_CHECKING:
    from agents.retrieval.index import Index
    from store.database import Database

_AT_ONCE = 2
"""Results of `embed` that are read at a time: some hundred kilobytes each, and milliseconds in which nothing else is done."""

Embedded = tuple[str, list[list[float]]]
"""Which model answered, as provider/model, and its vectors."""
Answers = Callable[[Run, str, Sequence[int]], Awaitable[list[Embedded]]]
"""Of these items of a run's step, by the step's name, in their order. Raises `NotHere`."""


def table(database: "Database | None") -> Mapping[str, Function]:
    """By the names that steps use. None: they are only looked at, and never called."""

    async def not_embedded(batches: list[list[str]], asked: str, run: Run) -> list[list[str] | None]:
        """Each batch of texts, or null where its vectors are kept. `asked`: the step that embedded the question."""
        from agents.retrieval.index import opened

        assert database is not None
        return await new(await opened(database), partial(_results, database), run, batches, asked)

    async def nearest_kept(
        batches: list[list[str]], query: list[float], asked: str, embedded: str, run: Run, most: int = MOST
    ) -> list[list[Near]]:
        """The nearest to the question, by batch. `embedded`: the step that embedded what was not kept; from now on it is."""
        from agents.retrieval.index import opened

        assert database is not None
        index, answers = await opened(database), partial(_results, database)
        return await near(index, answers, run, batches, query, (asked, embedded), max(1, most))

    return {"not_embedded": Function(not_embedded), "nearest_kept": Function(nearest_kept)}


async def new(
    index: "Index", answers: Answers, run: Run, batches: Sequence[list[str]], asked: str
) -> list[list[str] | None]:
    """Null for a batch that is kept, or stands there a second time."""
    ((model, (vector,)),) = await answers(run, asked, [0])
    first = _first(run, (model, len(vector)), batches)
    there = await index.known(list(first))
    wanted = {number for key, number in first.items() if key not in there}
    return [batch if number in wanted else None for number, batch in enumerate(batches)]


async def near(
    index: "Index",
    answers: Answers,
    run: Run,
    batches: Sequence[list[str]],
    query: Sequence[float],
    names: tuple[str, str],
    most: int,
) -> list[list[Near]]:
    """By batch. `names`: of the steps that embedded the question, and what was new. Raises `InvalidAnswer`."""
    asked, embedded = names
    ((model, _),) = await answers(run, asked, [0])
    first = _first(run, (model, len(query)), batches)
    there = await index.known(list(first))
    missing = {key: number for key, number in first.items() if key not in there}
    await _keep(index, answers, run, (model, len(query)), embedded, missing)
    found: list[list[Near]] = [[] for _ in batches]
    for key, place, score in await index.nearest(list(first), query, most):
        found[first[key]].append(Near(place, round(score, 6)))
    return found


def _first(run: Run, space: tuple[str, int], batches: Sequence[list[str]]) -> dict[bytes, int]:
    """Each batch's key, and where it stands first. `space`: the model, and how many numbers its vectors have."""
    from store.passages import kept

    found: dict[bytes, int] = {}
    for number, batch in enumerate(batches):
        found.setdefault(kept.key(run.tenant, *space, batch), number)
    return found


async def _keep(
    index: "Index", answers: Answers, run: Run, space: tuple[str, int], step: str, missing: Mapping[bytes, int]
) -> None:
    """What the step embedded. Raises `InvalidAnswer`."""
    keys, (model, dimensions) = list(missing), space
    for start in range(0, len(keys), _AT_ONCE):
        page = keys[start : start + _AT_ONCE]
        found = await answers(run, step, [missing[key] for key in page])
        if others := sorted({other for other, _ in found} - {model}):
            raise InvalidAnswer(
                f"the documents were embedded by {', '.join(others)} and the question by {model}; name one model for both"
            )
        if odd := {len(vectors[0]) for _, vectors in found} - {dimensions}:
            raise InvalidAnswer(
                f"{model} gave {min(odd)} numbers for a passage and {dimensions} for the question; submit the run again"
            )
        await index.put(run.tenant, model, {key: vectors for key, (_, vectors) in zip(page, found, strict=True)})


async def _results(database: "Database", run: Run, step: str, numbers: Sequence[int]) -> list[Embedded]:
    """Out of the ledger."""
    from store.runs import steps

    ids = [f"{run.id}/{step}/{number}" for number in numbers]
    rows = await database.read(partial(steps.answers, tenant=run.tenant, operation="embed", ids=ids))
    found = []
    for each in ids:
        _, body = rows.get(each, ("", None))
        if body is None:
            raise NotHere(f"the result of {each} is gone; submit the run again")
        result = orjson.loads(body)
        found.append((f"{result['provider']}/{result['model']}", result["output"]["embeddings"]))
    return found
