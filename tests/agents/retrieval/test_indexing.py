"""What was embedded before is not embedded again, and vectors of two models are never compared."""

import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agents.base import InvalidAnswer
from agents.pipelines.functions import Run
from agents.retrieval import indexing
from agents.retrieval.index import Index, opened
from agents.retrieval.indexing import Answers, Embedded
from agents.retrieval.nearest import Near
from store.database import Database, parse_url
from store.migrate import migrate

pytestmark = pytest.mark.fast
RUN = Run("acme", "run_1")
BATCHES = [["rain", "snow"], ["sun"], ["rain", "snow"]]
VECTORS = {"rain": [1.0, 0.0], "snow": [0.6, 0.8], "sun": [0.0, 3.0]}
NAMES = ("question", "embed")


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Index]:
    database = Database(parse_url(f"sqlite:///{tmp_path / 'ledger.db'}"))
    await migrate(database)
    yield await opened(database)
    await database.aclose()


def _answers(model: str = "p/m", *, of_documents: str | None = None) -> Answers:
    """As the ledger holds them when the question and all batches were embedded."""

    async def answers(_: Run, step: str, numbers: Sequence[int]) -> list[Embedded]:
        if step == "question":
            return [(model, [VECTORS["rain"]])]
        return [(of_documents or model, [VECTORS[text] for text in BATCHES[number]]) for number in numbers]

    return answers


async def _new(index: Index, model: str = "p/m", run: Run = RUN) -> list[list[str] | None]:
    return await indexing.new(index, _answers(model), run, BATCHES, "question")


async def test_each_batch_is_embedded_once_and_found_by_everybody_after(index: Index) -> None:
    """The third is the first once more."""
    assert await _new(index) == [["rain", "snow"], ["sun"], None]
    near = [[Near(0, 1.0), Near(1, 0.6)], [Near(0, 0.0)], []]
    found = await indexing.near(index, _answers(), RUN, BATCHES, [1.0, 0.0], NAMES, 3)
    assert [[Near(each.place, round(each.score, 2)) for each in batch] for batch in found] == near
    assert await _new(index) == [None, None, None]


async def test_of_another_model_or_tenant_nothing_is_known(index: Index) -> None:
    await indexing.near(index, _answers(), RUN, BATCHES, [1.0, 0.0], NAMES, 3)
    assert [None not in (await _new(index, *who))[:2] for who in [("p/other",), ("p/m", Run("b", "r"))]] == [True, True]


@pytest.mark.parametrize(
    ("answers", "query", "words"),
    [
        (_answers(of_documents="p/two"), [1.0, 0.0], "were embedded by p/two and the question by p/m; name one model"),
        (_answers(), [1.0], "p/m gave 2 numbers for a passage and 1 for the question"),
    ],
)
async def test_vectors_of_two_models_are_not_compared(
    index: Index, answers: Answers, query: list[float], words: str
) -> None:
    with pytest.raises(InvalidAnswer, match=re.escape(words)):
        await indexing.near(index, answers, RUN, BATCHES, query, NAMES, 3)
