"""classify names only what was asked for, by chat and by embedding."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.base import InvalidAnswer
from agents.classify import TEMPERATURE, classify, softmax
from providers.base import Traits
from schemas.classify import Input, Output
from tests.agents.doubles import ScriptedCaller

pytestmark = pytest.mark.fast

FRUIT = Input(content="crunchy", categories={"apple": "the fruit", "Apple": "the company", "pear": ""})


def _by_embedding(meanings):
    return ScriptedCaller(meanings=meanings, traits=Traits(paid=False, classify_by_embedding=True))


ONE = [
    ({"category": "apple", "confidence": 0.9, "rationale": " why "}, ("apple", 0.9, "why", 0)),
    ({"category": "Apple", "confidence": 1}, ("Apple", 1.0, None, 0)),
    ({"category": " PEAR\n", "confidence": 0}, ("pear", 0.0, None, 0)),  # the only one that is alike
    ({"category": "pear"}, ("pear", None, None, 0)),
    ({"category": "pear", "confidence": 85}, ("pear", None, None, 1)),  # 0.85, or nonsense: not ours to guess
    ({"category": "pear", "confidence": 1000283956748888}, ("pear", None, None, 1)),
    ({"category": "pear", "confidence": "high"}, ("pear", None, None, 1)),
    ({"category": "pear", "confidence": True}, ("pear", None, None, 1)),
    ({"category": "pear", "confidence": -0.1}, ("pear", None, None, 1)),
]


@pytest.mark.parametrize(("said", "expected"), ONE, ids=[str(said) for said, _ in ONE])
async def test_one_label_by_chat(said, expected):
    caller = ScriptedCaller([said])
    answer = await classify(FRUIT, caller)
    category, confidence, rationale, warnings = expected
    scores = {} if confidence is None else {category: confidence}
    assert answer == Output(category=category, confidence=confidence, scores=scores, rationale=rationale)
    assert len(caller.warnings) == warnings


async def test_the_schema_allows_only_the_names_and_the_prompt_describes_them():
    caller = ScriptedCaller([{"category": "pear"}])
    await classify(FRUIT, caller)
    call = caller.chats[0]
    assert call.schema["properties"]["category"] == {"enum": ["apple", "Apple", "pear"]}
    assert call.messages[-1].content.endswith("- apple: the fruit\n- Apple: the company\n- pear")


async def test_a_label_that_was_not_asked_for_is_repaired_once_then_fails():
    caller = ScriptedCaller([{"category": "plum"}, {"category": "APPLE"}])  # APPLE is neither apple nor Apple
    with pytest.raises(InvalidAnswer, match="'APPLE' is not one of the categories"):
        await classify(FRUIT, caller)
    assert "'plum' is not one of the categories" in caller.chats[1].messages[-1].content


async def test_several_labels_by_chat_are_named_once_each():
    said = {
        "categories": [
            {"category": "pear", "confidence": 0.4},
            {"category": "apple", "confidence": 0.8},
            {"category": "pear", "confidence": 0.6},
        ]
    }
    answer = await classify(FRUIT.model_copy(update={"multi_label": True}), ScriptedCaller([said]))
    assert answer == Output(categories=["pear", "apple"], confidence=0.6, scores={"pear": 0.6, "apple": 0.8})


async def test_no_label_may_fit_when_several_may():
    answer = await classify(FRUIT.model_copy(update={"multi_label": True}), ScriptedCaller([{"categories": []}]))
    assert answer == Output(categories=[])


async def test_by_embedding_the_nearest_label_wins_with_one_call():
    caller = _by_embedding(
        {"crunchy": (1.0, 0.0), "apple: the fruit": (0.8, 0.6), "Apple: the company": (0.0, 1.0), "pear": (0.6, 0.8)}
    )
    answer = await classify(FRUIT, caller)
    weights = {"apple": 1.0, "Apple": math.exp(-0.8 / TEMPERATURE), "pear": math.exp(-0.2 / TEMPERATURE)}
    total = sum(weights.values())
    assert answer.category == "apple"
    assert answer.scores == pytest.approx({name: weight / total for name, weight in weights.items()})
    assert (answer.confidence, len(caller.embeds), caller.chats) == (answer.scores["apple"], 1, [])


async def test_several_labels_by_embedding_are_those_near_the_best():
    near, far = (math.cos(0.1), math.sin(0.1)), (0.0, 1.0)
    caller = _by_embedding(
        {"crunchy": (1.0, 0.0), "apple: the fruit": (1.0, 0.0), "Apple: the company": far, "pear": near}
    )
    answer = await classify(FRUIT.model_copy(update={"multi_label": True}), caller)
    assert answer.categories == ["apple", "pear"]


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=200))
def test_scores_are_shares_in_the_order_of_the_cosines(cosines):
    scores = softmax(cosines)
    assert sum(scores) == pytest.approx(1)
    assert all(0 <= score <= 1 for score in scores)
    assert scores[cosines.index(max(cosines))] == max(scores)
