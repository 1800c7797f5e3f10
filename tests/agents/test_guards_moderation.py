"""The guard `moderation`: a model judges what is sent and what is answered; by the settings, or by the route."""

from dataclasses import dataclass
from typing import Any

import pytest

from agents import OPERATIONS
from agents.base import InvalidInput, OperationError
from agents.guards import guarded
from agents.guards.caller import RefusedAnswer
from agents.guards.rules import rule
from providers.calls import Judged
from providers.errors import ProviderError, Unsupported
from schemas.errors import ErrorType
from tests.agents.doubles import ScriptedCaller

pytestmark = pytest.mark.fast

BAD = {"found": [{"category": "violence", "confidence": 0.9}, {"category": "hate", "confidence": 0.1}]}
FINE: dict[str, list[Any]] = {"found": []}
MAIL = "ann@example.org"
Counts = list[tuple[str, ...]]


@dataclass
class ByRoute(ScriptedCaller):
    """Its request came by a route with these rules."""

    guards: tuple[str, ...] = ()


async def asked(caller: ScriptedCaller, *words: str, name: str = "complete", **given: Any) -> tuple[Any, Counts]:
    counts: Counts = []
    operation = guarded(OPERATIONS, {name: list(words)}, lambda *verdict: counts.append(verdict))[name]
    return await operation.run(operation.input.model_validate(given or {"prompt": "Hello."}), caller), counts


REFUSED = [  # the rule, what the model says to each call, which error, when, how many calls
    ("moderation:refuse", [BAD], InvalidInput, "before", 1),
    ("moderation:refuse:after", ["Yes.", BAD], RefusedAnswer, "after", 2),
    ("moderation:refuse:both", [FINE, "Yes.", BAD], RefusedAnswer, "after", 3),
]


@pytest.mark.parametrize(("words", "says", "error", "when", "calls"), REFUSED)
async def test_what_is_found_is_refused_with_its_categories(
    words: str, says: list[Any], error: type[OperationError], when: str, calls: int
) -> None:
    caller = ScriptedCaller(says)
    with pytest.raises(error) as refusal:
        await asked(caller, words)
    assert refusal.value.failure.details == {"guard": "moderation", "when": when, "categories": ["violence"]}
    assert "it holds violence" in refusal.value.failure.message
    assert len(caller.chats) == calls


async def test_what_is_reported_passes_with_a_warning_and_is_counted() -> None:
    caller = ScriptedCaller([BAD, "Yes."])
    told, counts = await asked(caller, "moderation:report")
    assert (told.content, counts) == ("Yes.", [("moderation", "before", "report")])
    assert caller.warnings == ["guard `moderation`, before a call: found violence, reported"]


async def test_what_is_harmless_passes_without_a_word() -> None:
    caller = ScriptedCaller([FINE, "Yes.", FINE])
    told, counts = await asked(caller, "moderation:refuse:both")
    assert (told.content, counts, caller.warnings) == ("Yes.", [], [])


async def test_the_judge_reads_placeholders_too_and_its_question_is_our_own() -> None:
    caller = ScriptedCaller([FINE, "Yes."])
    await asked(caller, "email:mask", "moderation:refuse", prompt=f"Write to {MAIL}.")
    judge, question = caller.chats
    assert "[EMAIL_1]" in judge.messages[-1].content and MAIL not in str(caller.chats)
    assert (judge.more.ours, question.more.ours) == (True, False)


async def test_a_model_that_is_made_for_it_judges_in_its_own_way() -> None:
    caller = ScriptedCaller(["Yes."], verdicts=(Judged(False, {}, {}),))
    await asked(caller, "moderation:refuse")
    assert (caller.moderated, len(caller.chats)) == ([("Hello.",)], 1)


async def test_what_was_judged_is_not_judged_again_in_the_same_request() -> None:
    """The second call repairs the first: its other turns are known."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    caller = ScriptedCaller([FINE, {"b": 1}, FINE, {"a": 1}])
    await asked(caller, "moderation:refuse", prompt="Count.", output_schema=schema)
    second = caller.chats[2].messages[-1].content
    assert "Count." in caller.chats[0].messages[-1].content
    assert "Count." not in second and '{"b":1}' in second


async def test_texts_are_judged_before_they_are_embedded() -> None:
    caller = ScriptedCaller([BAD])
    with pytest.raises(InvalidInput):
        await asked(caller, "moderation:refuse", name="embed", texts=["one", "two"])
    assert caller.embeds == []


async def test_a_model_that_only_embeds_cannot_judge_and_nothing_passes() -> None:
    only: ProviderError = Unsupported("it does not chat")
    with pytest.raises(InvalidInput, match="take the guard from `embed`"):
        await asked(ScriptedCaller([only]), "moderation:refuse", name="embed", texts=["one"])


async def test_a_judge_that_does_not_answer_lets_nothing_pass() -> None:
    with pytest.raises(OperationError) as failure:
        await asked(ScriptedCaller(["Well.", "Well."]), "moderation:refuse")
    assert failure.value.failure.type == ErrorType.INVALID_ANSWER


async def test_a_route_has_rules_of_its_own_beside_those_of_the_settings() -> None:
    caller = ByRoute([FINE, "Yes."], guards=("moderation:refuse", "email:mask"))
    told, _ = await asked(caller, "email:mask", prompt=f"Write to {MAIL}.")
    assert (told.content, len(caller.chats)) == ("Yes.", 2)
    with pytest.raises(InvalidInput):
        await asked(ByRoute([BAD], guards=("moderation:refuse",)))


async def test_who_judges_is_not_judged() -> None:
    caller = ByRoute([FINE], guards=("moderation:refuse:both",))
    told, _ = await asked(caller, "moderation:refuse:both", name="moderate", content="x")
    assert (told.results[0].flagged, len(caller.chats)) == (False, 1)


@pytest.mark.parametrize("words", ["moderation:mask", "moderation", "moderation:refuse:never"])
def test_a_rule_that_is_none_is_told(words: str) -> None:
    with pytest.raises(ValueError, match="moderation"):
        rule(words)
