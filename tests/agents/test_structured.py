"""One strict parse, one mending, one second call, then a typed failure."""

import pytest

from agents import structured
from agents.base import InvalidAnswer
from providers.calls import Message
from tests.agents.doubles import ScriptedCaller, cut

pytestmark = pytest.mark.fast

SCHEMA = {"type": "object"}


def _accept(value):
    if value.get("a") != 1:
        raise ValueError("a must be 1")
    return value


def _question():
    return structured.Question([Message("user", "a?")], SCHEMA, _accept, max_tokens=50)


USABLE = [
    ('{"a": 1}', "as it should be"),
    (' {"a": 1}\n\n ', "trailing blanks, as Ollama sends them"),
    ('```json\n{"a": 1}\n```', "in a code fence"),
    ("Sure! {'a': 1,}", "prose, single quotes, a trailing comma"),
    ('{"a": 1', "ended by itself without its bracket"),
]
DEEP = '{"a": 1, "b": ' + "[" * 149 + "]" * 149 + "}"


async def test_as_deep_as_an_answer_may_be():
    answered = await structured.ask(ScriptedCaller([DEEP]), _question())
    assert answered.text == DEEP


@pytest.mark.parametrize(("text", "_why"), USABLE, ids=[why for _, why in USABLE])
async def test_json_that_can_be_read_needs_one_call(text, _why):
    caller = ScriptedCaller([text])
    answered = await structured.ask(caller, _question())
    assert (answered.value, len(caller.chats)) == ({"a": 1}, 1)


async def test_the_second_call_shows_the_model_its_answer_and_its_error():
    caller = ScriptedCaller(['{"a": 2}', '{"a": 1}'])
    answered = await structured.ask(caller, _question())
    second = caller.chats[1]
    assert answered.value == {"a": 1}
    assert [message.role for message in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].content == '{"a": 2}'
    assert "a must be 1" in second.messages[2].content
    assert (second.schema, second.max_tokens) == (SCHEMA, 50)


async def test_an_answer_cut_off_gets_twice_the_room_and_is_never_mended():
    caller = ScriptedCaller([cut('{"a": 1, "name": "Nort'), '{"a": 1}'])
    await structured.ask(caller, _question())
    assert [call.max_tokens for call in caller.chats] == [50, 100]


UNUSABLE = [
    ("", "it is not JSON"),
    ("I cannot do that.", "it is not JSON"),
    ("[" * 5_000, "nesting"),
    ('{"a": 3}', "a must be 1"),
    (cut('{"a": 1'), "cut off at max_tokens"),
    ('{"a": 1, "b": "\\ud83d"}', "half of a character"),
    ('{"a": 1, "b": ' + "[" * 150 + "]" * 150 + "}", "deeper than 150 levels"),
]


@pytest.mark.parametrize(("answer", "said"), UNUSABLE, ids=[said for _, said in UNUSABLE])
async def test_after_two_bad_answers_it_fails_and_tells_both_problems(answer, said):
    caller = ScriptedCaller([answer, answer])
    with pytest.raises(InvalidAnswer) as caught:
        await structured.ask(caller, _question())
    failure = caught.value.failure
    assert (failure.type, len(caller.chats), len(failure.details["problems"])) == ("invalid_answer", 2, 2)
    assert said in failure.message
