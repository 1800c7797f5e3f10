"""complete passes on what was asked and counts its choices."""

import pytest
from pydantic import ValidationError

from agents.base import InvalidInput
from agents.complete import MAX_TOKENS, OPERATION, complete
from providers.base import Message
from schemas.complete import Choice, Input, Output, Turn
from tests.agents.doubles import ScriptedCaller, cut

pytestmark = pytest.mark.fast

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_a_bare_prompt_is_sent_as_it_is():
    caller = ScriptedCaller(["Hi"])
    answer = await complete(Input(prompt="{{ 1 }} hello", stop=["\n"], seed=3), caller)
    call = caller.chats[0]
    assert answer == Output(content="Hi", finish_reason="stop")
    assert (call.messages, call.prompt, call.max_tokens, call.stop, call.seed) == (
        (Message("user", "{{ 1 }} hello"),),
        None,
        MAX_TOKENS,
        ("\n",),
        3,
    )


async def test_messages_keep_their_roles():
    turns = [Turn(role="system", content="Be brief."), Turn(role="user", content="Hi")]
    caller = ScriptedCaller(["Hi"])
    await complete(Input(messages=turns), caller)
    assert caller.chats[0].messages == (Message("system", "Be brief."), Message("user", "Hi"))


async def test_an_answer_cut_off_says_so():
    answer = await complete(Input(prompt="x"), ScriptedCaller([cut("Once upon")]))
    assert (answer.content, answer.finish_reason) == ("Once upon", "length")


async def test_n_choices_are_n_calls_with_seeds_of_their_own():
    caller = ScriptedCaller(["a", "b", "c"])
    answer = await complete(Input(prompt="x", n=3, seed=2**31 - 2), caller)
    assert [call.seed for call in caller.chats] == [2**31 - 2, 2**31 - 1, 0]
    assert (answer.content, answer.choices) == ("a", [Choice(content=text, finish_reason="stop") for text in "abc"])


async def test_an_answer_of_the_asked_form_is_parsed():
    caller = ScriptedCaller(['{"n": "one"}', '{"n": 1}'])
    answer = await complete(Input(prompt="x", output_schema=NUMBER), caller)
    assert (answer.content, answer.parsed, caller.chats[0].schema) == ('{"n": 1}', {"n": 1}, NUMBER)


def test_a_broken_output_schema_is_found_at_acceptance():
    assert OPERATION.check is not None
    with pytest.raises(InvalidInput, match="`output_schema` is not a JSON Schema"):
        OPERATION.check(Input(prompt="x", output_schema={"type": "nope"}))


def test_an_empty_stop_is_refused():
    with pytest.raises(ValidationError):
        Input(prompt="x", stop=[""])
