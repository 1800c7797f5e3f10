"""embed keeps the order over bounded batches."""

import pytest

from agents.base import InvalidAnswer
from agents.embed import embed
from schemas.embed import Input, Output
from tests.agents.doubles import ScriptedCaller

pytestmark = pytest.mark.fast


async def test_texts_keep_their_order_over_batches_of_64():
    texts = [f"t{number}" for number in range(130)]
    caller = ScriptedCaller(meanings={text: (float(number), 1.0) for number, text in enumerate(texts)})
    answer = await embed(Input(texts=texts), caller)
    assert [len(batch) for batch in caller.embeds] == [64, 64, 2]
    assert answer == Output(embeddings=[[float(number), 1.0] for number in range(130)], dimensions=2)


async def test_content_is_one_text():
    caller = ScriptedCaller(meanings={"hello": (0.6, 0.8)})
    assert await embed(Input(content="hello"), caller) == Output(embeddings=[[0.6, 0.8]], dimensions=2)


async def test_vectors_of_two_lengths_are_no_answer():
    caller = ScriptedCaller(meanings={"a": (1.0,), "b": (1.0, 0.0)})
    with pytest.raises(InvalidAnswer, match=r"lengths \[1, 2\]"):
        await embed(Input(texts=["a", "b"]), caller)
