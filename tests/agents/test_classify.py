"""classify names only what was asked for, by chat and by embedding."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.base import InvalidAnswer
from agents.classify import TEMPERATURE, classify, softmax, vote
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


VOTES = [  # length and answer of each part; the categories, their scores
    ([(3, Output(category="apple")), (1, Output(category="pear"))], ["apple"], {}),
    ([(1, Output(category="pear")), (1, Output(category="apple"))], ["apple"], {}),  # a tie: the first one asked for
    (
        [(1, Output(category="pear", scores={"pear": 1})), (3, Output(category="apple", scores={"apple": 0.2}))],
        ["pear"],  # 1/4 · 1 against 3/4 · 0.2
        {"apple": 0.15, "pear": 0.25},
    ),
    ([(1, Output(categories=["pear", "apple"])), (1, Output(categories=["pear"]))], ["apple", "pear"], {}),
    ([(1, Output(categories=["apple"])), (3, Output(categories=["pear"]))], ["pear"], {}),  # 1/4 is below half of 3/4
    ([(1, Output(categories=[])), (1, Output(categories=[]))], [], {}),
]


@pytest.mark.parametrize(("parts", "names", "scores"), VOTES)
def test_parts_vote_by_length_and_confidence(parts, names, scores):
    several = parts[0][1].categories is not None
    answer = vote(parts, FRUIT.model_copy(update={"multi_label": several}))
    assert (answer.categories if several else [answer.category], answer.scores) == (names, pytest.approx(scores))
    assert answer.confidence == (pytest.approx(min(scores[name] for name in names)) if scores else None)


async def test_above_the_context_the_parts_vote_and_the_winners_reason_is_kept():
    said = [("pear", "round"), ("apple", "red"), ("apple", "sweet")]
    caller = ScriptedCaller(
        [{"category": name, "confidence": 1, "rationale": why} for name, why in said],
        traits=Traits(paid=False, context_tokens=700),
    )
    answer = await classify(FRUIT.model_copy(update={"content": "It is red and sweet and round. " * 130}), caller)
    assert (answer.category, answer.rationale in ("red", "sweet")) == ("apple", True)
    assert caller.warnings == ["the content is longer than the model's context and was read in 3 parts"]


async def test_above_an_embedding_models_context_the_labels_are_embedded_once():
    caller = ScriptedCaller(
        meanings={"apple: the fruit": (1.0, 0.0), "Apple: the company": (0.0, 1.0), "pear": (0.0, -1.0)},
        traits=Traits(paid=False, classify_by_embedding=True, context_tokens=4096, embed_context_tokens=256),
    )
    answer = await classify(FRUIT.model_copy(update={"content": "It is red and sweet and round. " * 130}), caller)
    assert (answer.category, [len(texts) for texts in caller.embeds]) == ("apple", [4, *[1] * (len(caller.embeds) - 1)])
    assert sum(answer.scores.values()) == pytest.approx(1)
