"""What a call asks for is compared with what a model can do before it is called."""

import pytest

from providers.able import check, lacks, wants
from providers.base import Able
from providers.calls import ChatCall, EmbedCall, Forced, Image, Message, Tool
from providers.errors import Unsupported

pytestmark = pytest.mark.fast

HELLO = (Message("user", "hello"),)
SEEN = (Message("user", "what?", parts=("what?", Image("https://example.org/a.png"))),)


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        (ChatCall("m", HELLO, 1.0, max_tokens=3, temperature=1.0), []),  # every chat model does these
        (ChatCall("m", HELLO, 1.0, stop=("x",), seed=1, temperature=0.0), ["temperature", "stop", "seed"]),
        (ChatCall("m", HELLO, 1.0, tools=(Tool("t"),), tool_choice=Forced("t")), ["tools", "tool_choice"]),
        (ChatCall("m", HELLO, 1.0, tools=(Tool("t"),), tool_choice="auto"), ["tools"]),
        (ChatCall("m", HELLO, 1.0, tools=(Tool("t"),), parallel_tool_calls=False), ["tools", "parallel_tool_calls"]),
        (ChatCall("m", HELLO, 1.0, parallel_tool_calls=False), []),
        (ChatCall("m", HELLO, 1.0, schema={}), ["response_format"]),
        (ChatCall("m", HELLO, 1.0, json_mode=True), ["response_format.json_object"]),
        (ChatCall("m", HELLO, 1.0, tools=(Tool("t"),), params={"top_p": 1.0}), ["tools", "top_p"]),
        (ChatCall("m", (*HELLO, Message("tool", "x", tool_call_id="c")), 1.0), ["tools"]),
        (ChatCall("m", SEEN, 1.0, logprobs=0), ["image_url", "logprobs"]),
        (EmbedCall("m", ("x",), 1.0), []),
        (EmbedCall("m", ("x",), 1.0, 8), ["dimensions"]),
    ],
)
def test_what_a_call_asks_for(call, asked):
    assert wants(call) == asked


def test_what_is_not_known_may_be_tried_but_for_params_which_would_be_dropped():
    assert lacks(["response_format", "tools", "image_url", "logprobs", "seed", "top_p"], Able()) == ["top_p"]
    assert lacks(["response_format.json_object"], Able(schema=False)) == ["response_format.json_object"]
    assert lacks(["response_format.json_object"], Able(schema=True, json_mode=False)) == ["response_format.json_object"]
    assert lacks(["seed", "temperature"], Able(seed=False, temperature=True)) == ["seed"]


def test_a_refusal_names_the_fields():
    with pytest.raises(Unsupported, match="`m` cannot do `tools`, `top_k`") as refusal:
        check(ChatCall("m", HELLO, 1.0, tools=(Tool("t"),), params={"top_k": 3}), Able(tools=False))
    assert refusal.value.details == {"fields": ["tools", "top_k"]}
