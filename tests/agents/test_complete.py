"""complete passes on what was asked and counts its choices."""

import pytest
from pydantic import ValidationError

from agents.base import InvalidInput
from agents.complete import MAX_TOKENS, OPERATION, complete
from providers.calls import ChatAnswer, Forced, Image, Message, Spent, Tool, ToolCall
from schemas.chat import Turn
from schemas.complete import Choice, Input, Output
from tests.agents.doubles import ScriptedCaller, cut

pytestmark = pytest.mark.fast

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_a_bare_prompt_is_sent_as_it_is():
    caller = ScriptedCaller(["Hi"])
    answer = await complete(Input(prompt="{{ 1 }} hello", stop=["\n"], seed=3), caller)
    call = caller.chats[0]
    assert answer == Output(content="Hi", finish_reason="stop")
    assert (call.messages, call.prompt, call.max_tokens, call.more.stop, call.more.seed) == (
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
    assert [call.more.seed for call in caller.chats] == [2**31 - 2, 2**31 - 1, 0]
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


CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": WEATHER}}


async def test_tools_are_passed_on_and_what_the_model_asks_for_comes_back():
    asked = Input.model_validate(
        {
            "prompt": "Is it warm in Graz?",
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "parallel_tool_calls": False,
            "logprobs": 2,
            "params": {"top_p": 0.5},
        }
    )
    wants = ChatAnswer("", "tool_calls", Spent(), tool_calls=(ToolCall("c1", "weather", '{"city": "Graz"}'),))
    caller = ScriptedCaller([wants])
    answer = await complete(asked, caller)
    more = caller.chats[0].more
    assert (more.tools, more.tool_choice, more.parallel_tool_calls, more.logprobs, more.params) == (
        (Tool("weather", "Of a city.", WEATHER),),
        Forced("weather"),
        False,
        2,
        {"top_p": 0.5},
    )
    function = {"name": "weather", "arguments": '{"city": "Graz"}'}
    assert answer == Output(
        content="", finish_reason="tool_calls", tool_calls=[{"id": "c1", "type": "function", "function": function}]
    )


async def test_turns_of_every_kind_reach_the_model():
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "warm"},
    ]
    caller = ScriptedCaller(["Graz"])
    await complete(Input.model_validate({"messages": turns}), caller)
    assert caller.chats[0].messages == (
        Message("system", "Be brief."),
        Message("user", "What is this?", parts=("What is this?", Image("https://example.org/a.png", "low"))),
        Message("assistant", "", tool_calls=(ToolCall("c1", "weather", "{}"),)),
        Message("tool", "warm", tool_call_id="c1"),
    )


async def test_without_repair_an_answer_of_another_form_is_shown_as_it_came():
    caller = ScriptedCaller(["not JSON"])
    answer = await complete(Input(prompt="x", output_schema=NUMBER, repair=False), caller)
    assert (answer.content, answer.parsed, len(caller.chats)) == ("not JSON", None, 1)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ({"role": "user"}, "needs `content`"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "only an assistant"),
        ({"role": "tool", "content": "x"}, "needs `tool_call_id`"),
        ({"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "https://a.b/c"}}]}, "images"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}, "pattern"),
    ],
)
def test_a_turn_that_is_none_is_refused(turn, words):
    with pytest.raises(ValidationError, match=words):
        Input.model_validate({"messages": [turn]})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tool_choice": "required"}, "needs `tools`"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "not among"),
        ({"output_schema": NUMBER, "json_object": True}, "either `output_schema` or `json_object`"),
        ({"params": {"top_q": 1}}, "top_q"),
        ({"params": {"top_p": 2}}, "less than or equal to 1"),
    ],
)
def test_wishes_that_do_not_fit_together_are_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        Input.model_validate({"prompt": "x"} | fields)
