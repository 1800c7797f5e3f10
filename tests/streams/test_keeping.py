"""`cache_control` from Anthropic's door to Anthropic's own wire, and nowhere else."""

from typing import Any

import orjson
import pytest

from agents import complete
from providers import anthropic_wire, bedrock_wire, openai_wire
from providers.calls import ChatCall
from providers.claude import claude
from schemas.complete import Input
from schemas.request import Request
from streams.decode import payload_hash
from streams.web.messages import wire
from streams.web.problems import Problem

pytestmark = pytest.mark.fast

SHORT = {"cache_control": {"type": "ephemeral"}}
LONG = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
TOOLS = [
    {"name": "look", "input_schema": {"type": "object"}},
    {"name": "go", "input_schema": {"type": "object"}, **LONG},
]
USE = {"type": "tool_use", "id": "c", "name": "look", "input": {"a": 1}}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


CHAT = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 50,
    "system": [text("You are brief."), text("A long handbook.", **LONG)],
    "tools": TOOLS,
    "messages": [
        {"role": "user", "content": [text("What?"), text("When?", **SHORT)]},
        {"role": "assistant", "content": [text("Let me see."), USE | SHORT]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "fog", **SHORT}]},
    ],
}


def bare(value: Any) -> Any:
    """Without what is to be kept."""
    if isinstance(value, dict):
        return {name: bare(each) for name, each in value.items() if name != "cache_control"}
    return [bare(each) for each in value] if isinstance(value, list) else value


def call(body: dict[str, Any]) -> ChatCall:
    return complete.prompt(Input.model_validate(wire.read(body).record["input"]), "claude-sonnet-4-5", 5.0)


def sent(body: dict[str, Any]) -> dict[str, Any]:
    return anthropic_wire.chat(call(body), claude("claude-sonnet-4-5")).body


def test_each_mark_stands_where_it_stood() -> None:
    told = sent(CHAT)
    assert {name: told[name] for name in ("system", "tools", "messages")} == {
        "system": CHAT["system"],
        "tools": CHAT["tools"],
        "messages": CHAT["messages"],
    }


def test_a_mark_of_the_whole_body_stands_on_its_last_block() -> None:
    chat = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}], **SHORT}
    assert sent(chat)["messages"] == [{"role": "user", "content": [text("Hello", **SHORT)]}]


def test_a_mark_inside_of_a_tools_result_stands_on_the_result() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": [text("fog", **LONG)]}
    messages = [*CHAT["messages"][:2], {"role": "user", "content": [result]}]  # type: ignore[index]
    (last,) = sent(CHAT | {"messages": messages})["messages"][-1]["content"]
    assert last == {"type": "tool_result", "tool_use_id": "c", "content": "fog", **LONG}


def test_other_providers_are_asked_as_if_nothing_were_marked() -> None:
    marked, plain = call(CHAT), call(bare(CHAT))
    for body in (as_openai, as_bedrock):
        assert body(marked) == body(plain)
        assert b"cache" not in body(marked).lower()


def as_openai(asked: ChatCall) -> bytes:
    return openai_wire.chat_body(asked, streamed=False, max_name="max_tokens")


def as_bedrock(asked: ChatCall) -> bytes:
    return bedrock_wire.chat(asked).encoded()


def test_it_is_the_same_question_with_marks_and_without() -> None:
    """Both as a payload and for the cache of answers, which reads `question` too."""
    both = [Request.model_validate({"input": wire.read(each).record["input"]}) for each in (CHAT, bare(CHAT))]
    assert both[0].question() == both[1].question()
    assert payload_hash("complete", both[0]) == payload_hash("complete", both[1])


@pytest.mark.parametrize(
    ("mark", "param"),
    [
        ({"type": "ephemeral", "ttl": "2h"}, "messages[0].content[0].cache_control.ttl"),
        ({"type": "persistent"}, "messages[0].content[0].cache_control.type"),
        ({"scope": "x"}, "messages[0].content[0].cache_control.scope"),
    ],
)
def test_a_mark_that_is_not_known_is_refused(mark: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as caught:
        wire.read(CHAT | {"messages": [{"role": "user", "content": [text("x", cache_control=mark)]}]})
    assert (caught.value.status, caught.value.more["param"]) == (400, param)


@pytest.mark.parametrize("keep", [{"turn": 1}, {"turn": 0, "block": 1}, {"tool": 0}, {}, {"turn": 0, "tool": 0}])
def test_a_mark_of_what_is_not_there_is_refused(keep: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="one block of a turn, or one tool"):
        Input.model_validate({"messages": [{"role": "user", "content": "x"}], "keep": [keep]})


def test_a_record_says_it_beside_the_chat() -> None:
    assert orjson.loads(orjson.dumps(wire.read(CHAT).record["input"]["keep"])) == [
        {"tool": 1, "ttl": "1h"},
        {"turn": 0, "block": 1, "ttl": "1h"},
        {"turn": 1, "block": 1},
        {"turn": 2, "block": 1},
        {"turn": 3, "block": 0},
    ]
