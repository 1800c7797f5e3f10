"""Anthropic's Messages: what a call looks like, and what is refused before it leaves."""

from typing import Any

import pytest

from providers import anthropic_wire
from providers.anthropic_wire import Sent
from providers.calls import ChatCall, Forced, Image, Message, Tool, ToolCall
from providers.claude import claude
from providers.errors import Rejected, Unsupported

pytestmark = pytest.mark.fast

NEW, OLD = "claude-sonnet-5-5", "claude-opus-4-1"
HELLO = (Message("user", "hello"),)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOL = Tool("weather", "The weather", {"type": "object", "properties": {"town": {"type": "string"}}})


def sent(model: str = OLD, messages: tuple[Message, ...] = HELLO, **wishes: Any) -> Sent:
    return anthropic_wire.chat(ChatCall(model, messages, 5.0, **wishes), claude(model))


def _body(model: str = OLD, messages: tuple[Message, ...] = HELLO, **wishes: Any) -> dict[str, Any]:
    whole = sent(model, messages, **wishes).body
    return {name: value for name, value in whole.items() if name not in ("model", "max_tokens", "messages")}


def test_nothing_that_was_not_wished_for_is_sent():
    assert sent().body == {
        "model": OLD,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    }


def test_turns_of_one_role_become_one_and_what_the_system_says_stands_apart():
    turns = (
        Message("system", "Be short."),
        Message("user", "What is this?\nAnd that?", ("What is this?", Image("https://example.org/a.png"), "And that?")),
        Message("user", "Well?"),
        Message(
            "assistant",
            "Let me see.",
            tool_calls=(ToolCall("c1", "weather", '{"town":"Bonn"}'), ToolCall("c2", "clock", "")),
        ),
        Message("tool", "rain", tool_call_id="c1", name="weather"),
        Message("tool", "noon", tool_call_id="c2"),
        Message("user", "And now?"),
        Message("system", "And kind."),
    )
    body = sent(messages=turns, tools=(TOOL,)).body
    assert body["system"] == "Be short.\n\nAnd kind."
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
                {"type": "text", "text": "And that?"},
                {"type": "text", "text": "Well?"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"town": "Bonn"}},
                {"type": "tool_use", "id": "c2", "name": "clock", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "noon"},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]


LOW = {"reasoning_effort": "low"}
SUMMARIZED = {"type": "adaptive", "display": "summarized"}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA | {"additionalProperties": False}}}
ANSWER = {"type": "tool", "name": "answer"}
WISHES = [  # the model, a call's wishes, what they are on the wire
    (OLD, {"temperature": 0.2, "stop": ("END",)}, {"temperature": 0.2, "stop_sequences": ["END"]}),
    (
        OLD,
        {"params": {"top_p": 0.9, "top_k": 5, "user": "u1"}},
        {"top_p": 0.9, "top_k": 5, "metadata": {"user_id": "u1"}},
    ),
    (NEW, {"temperature": 1.0}, {}),  # what it does anyway, and what it refuses to be told
    (NEW, {"params": {"service_tier": "auto"}}, {"service_tier": "auto"}),
    (NEW, {"params": {"service_tier": "default"}}, {"service_tier": "standard_only"}),
    (NEW, {"on_tokens": print}, {"stream": True}),
    (NEW, {"tools": (TOOL,), "parallel_tool_calls": True}, {}),
    (
        NEW,
        {"tools": (TOOL,), "parallel_tool_calls": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    (NEW, {"tools": (TOOL,), "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    (OLD, {"tools": (TOOL,), "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    (
        OLD,
        {"tools": (TOOL,), "tool_choice": Forced("weather"), "parallel_tool_calls": False},
        {"tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}},
    ),
    (NEW, {"params": LOW}, {"thinking": SUMMARIZED, "output_config": {"effort": "low"}}),
    (NEW, {"params": {"reasoning_effort": "minimal"}}, {"thinking": SUMMARIZED, "output_config": {"effort": "low"}}),
    (NEW, {"params": {"reasoning_effort": "none"}}, {"thinking": {"type": "between_tools"}}),
    (NEW, {"max_tokens": 300}, {"thinking": {"type": "between_tools"}}),  # no room to think
    (
        "claude-opus-5-5",
        {"max_tokens": 300},
        {"thinking": SUMMARIZED, "output_config": {"effort": "low"}},
    ),  # it always does
    ("claude-opus-4-8", {"max_tokens": 300}, {}),  # it does not unless asked
    (
        OLD,
        {"params": {"reasoning_effort": "high"}},
        {"thinking": {"type": "enabled", "budget_tokens": 3072}},
    ),  # 3/4 of 4096
    (OLD, {"params": LOW, "max_tokens": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),  # the least
    (NEW, {"schema": SCHEMA}, {"output_config": FORMAT}),
    (NEW, {"schema": SCHEMA, "params": LOW}, {"thinking": SUMMARIZED, "output_config": {"effort": "low"} | FORMAT}),
]


@pytest.mark.parametrize(("model", "wishes", "wire"), WISHES)
def test_wishes_on_the_wire(model, wishes, wire):
    told = _body(model, **wishes)
    told.pop("tools", None)
    assert told == wire


def test_tools_on_the_wire():
    assert _body(NEW, tools=(TOOL, Tool("clock", strict=True)))["tools"] == [
        {"name": "weather", "description": "The weather", "input_schema": TOOL.parameters},
        {"name": "clock", "input_schema": {"type": "object", "properties": {}}, "strict": True},
    ]


@pytest.mark.parametrize(
    ("model", "wishes", "schema", "wrapped"),
    [
        (OLD, {"schema": SCHEMA}, SCHEMA, False),
        (OLD, {"json_mode": True}, {"type": "object"}, False),
        (
            OLD,
            {"schema": {"enum": [1, 2]}},
            {"type": "object", "properties": {"value": {"enum": [1, 2]}}, "required": ["value"]},
            True,
        ),
        ("claude-haiku-4-5", {"schema": {"type": "object"}}, {"type": "object"}, False),  # no part of its language
    ],
)
def test_a_schema_that_cannot_be_said_otherwise_is_the_input_of_a_tool_it_must_call(model, wishes, schema, wrapped):
    made = sent(model, **wishes)
    assert (made.tool, made.wrapped, made.body["tool_choice"]) == (True, wrapped, ANSWER)
    assert made.body["tools"][0]["input_schema"] == schema


REFUSED = [  # the model, wishes, the error, a word of it
    (NEW, {"temperature": 0.0}, Unsupported, "`temperature`"),
    (NEW, {"seed": 3}, Unsupported, "`seed`"),
    (NEW, {"logprobs": 2}, Unsupported, "`logprobs`"),
    (
        OLD,
        {"params": {"frequency_penalty": 1.0, "logit_bias": {"1": 2}}},
        Unsupported,
        "`frequency_penalty`, `logit_bias`",
    ),
    (NEW, {"tools": (TOOL,), "tool_choice": "required"}, Unsupported, "`tool_choice`"),
    (NEW, {"json_mode": True}, Unsupported, "json_object"),
    (NEW, {"schema": {"type": "object"}}, Unsupported, "free objects"),
    (OLD, {"schema": SCHEMA, "tools": (TOOL,)}, Unsupported, "`tools`"),
    (OLD, {"schema": SCHEMA, "params": LOW}, Unsupported, "`reasoning_effort`"),
    (OLD, {"tools": (Tool("t", strict=True),)}, Unsupported, "strict"),
    (OLD, {"params": {"service_tier": "flex"}}, Unsupported, "`service_tier` flex"),
    (OLD, {"params": {"reasoning_effort": "xhigh"}}, Unsupported, "low, medium, high"),
    ("claude-opus-4-6", {"params": {"reasoning_effort": "xhigh"}}, Unsupported, "low, medium, high"),
    ("claude-opus-5-5", {"params": {"reasoning_effort": "none"}}, Unsupported, "cannot stop thinking"),
    ("claude-3-haiku-20240307", {"params": LOW}, Unsupported, "`reasoning_effort`"),
    (OLD, {"params": LOW, "max_tokens": 1024}, Rejected, "1024 tokens at least"),
    (OLD, {"messages": (Message("system", "x"),)}, Rejected, "at least one `user` turn"),
    (OLD, {"messages": (Message("user", "x", name="ann"),)}, Unsupported, "messages[].name"),
    (OLD, {"messages": (Message("user", "", (Image("http://example.org/a.png"),)),)}, Rejected, "https"),
    (OLD, {"messages": (Message("user", "", (Image("https://example.org/a.png", "low"),)),)}, Unsupported, "detail"),
    (
        OLD,
        {"messages": (*HELLO, Message("assistant", "", tool_calls=(ToolCall("c", "t", "{"),)))},
        Rejected,
        "no JSON object",
    ),
]


@pytest.mark.parametrize(("model", "wishes", "error", "words"), REFUSED)
def test_what_cannot_be_passed_on_is_refused_by_its_name(model, wishes, error, words):
    with pytest.raises(error) as caught:
        sent(model, **wishes)
    assert words in str(caught.value)
    assert caught.value.details["fields"]


def test_a_picture_that_claude_does_not_read_is_refused_with_what_it_does():
    bitmap = "data:image/bmp;base64,Qk1GAAAAAAAAADYAAAAoAAAAAQAAAAEAAAABABgAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAA////AA=="
    with pytest.raises(Rejected, match="jpeg, png, gif, webp") as caught:
        sent(messages=(Message("user", "", (Image(bitmap),)),))
    assert caught.value.details["fields"] == ["image_url"]


def test_a_lone_surrogate_is_refused():
    with pytest.raises(Rejected, match="cannot be written as JSON"):
        sent(messages=(Message("user", "\ud800"),)).encoded()
