"""moderate: a model that is made for it says so itself, any other is asked by a prompt with the categories."""

import pytest

from agents.base import InvalidAnswer
from agents.moderate import moderate, verdict
from providers.base import Traits
from providers.calls import Judged
from schemas.moderate import CATEGORIES, Input
from tests.agents.doubles import ScriptedCaller

pytestmark = pytest.mark.fast

CLEAN = {"found": []}


def found(*pairs: tuple[str, float]) -> dict[str, list[dict[str, object]]]:
    return {"found": [{"category": name, "confidence": sure} for name, sure in pairs]}


async def test_a_model_that_is_made_for_it_judges_all_texts_in_one_call() -> None:
    bad = Judged(True, {"violence": True}, {"violence": 0.9})
    fine = Judged(False, {"violence": False}, {"violence": 0.1})
    caller = ScriptedCaller(verdicts=(bad, fine))
    output = await moderate(Input(texts=["a", "b"]), caller)
    assert [(each.flagged, each.scores) for each in output.results] == [(True, bad.scores), (False, fine.scores)]
    assert (caller.moderated, caller.chats) == ([("a", "b")], [])


async def test_any_other_model_is_asked_about_each_text_with_the_categories() -> None:
    caller = ScriptedCaller([found(("Violence", 0.9), ("hate", 0.49)), CLEAN])
    first, second = (await moderate(Input(texts=["one", "two"]), caller)).results
    assert (first.flagged, [name for name, is_found in first.categories.items() if is_found]) == (True, ["violence"])
    assert (first.scores["violence"], first.scores["hate"], first.scores["sexual"]) == (0.9, 0.49, 0.0)
    assert (second.flagged, list(second.categories)) == (False, list(CATEGORIES))
    asked = caller.chats[0]
    assert all(f"- {name}: {words}" in asked.messages[-1].content for name, words in CATEGORIES.items())
    assert asked.schema is not None


WRONG = [found(("rudeness", 0.9)), found(("hate", 1.5)), {"found": "none"}, "It is fine."]


@pytest.mark.parametrize("said", WRONG, ids=str)
async def test_an_answer_that_is_none_is_asked_for_once_more_and_then_fails(said: object) -> None:
    with pytest.raises(InvalidAnswer):
        await moderate(Input(content="x"), ScriptedCaller([said, said]))


async def test_too_few_verdicts_are_none() -> None:
    with pytest.raises(InvalidAnswer, match="0 verdicts for 1 texts"):
        await moderate(Input(content="x"), ScriptedCaller(verdicts=()))


async def test_a_long_text_is_read_in_parts_and_each_category_counts_where_it_is_surest() -> None:
    said = [found(("hate", 0.2)), found(("hate", 0.8)), *[CLEAN] * 40]
    caller = ScriptedCaller(said, traits=Traits(paid=False, context_tokens=1200))
    output = await moderate(Input(content="Some words that say little. " * 200), caller)
    assert (output.results[0].scores["hate"], output.results[0].flagged) == (0.8, True)
    assert len(caller.chats) > 1 and "was read in" in caller.warnings[0]


def test_half_sure_is_found() -> None:
    assert [verdict([{"hate": sure}]).flagged for sure in (0.49, 0.5)] == [False, True]
