"""Bedrock's Converse: calls in the shapes that AWS's own model of the service allows."""

from typing import Any

import orjson
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from providers import bedrock_wire
from providers.calls import ChatCall, EmbedCall, Forced, Image, Message, Tool, ToolCall
from providers.errors import Unsupported

pytestmark = pytest.mark.fast

HAIKU, NOVA = "global.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-lite-v1:0"
NEW = "anthropic.claude-sonnet-5-5"
TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3"
HELLO = (Message("user", "hello"),)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TOOL = Tool("weather", "The weather", {"type": "object", "properties": {"town": {"type": "string"}}})
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SAID = [{"role": "user", "content": [{"text": "hello"}]}]


def _body(model: str, messages: tuple[Message, ...] = HELLO, **wishes: Any) -> dict[str, Any]:
    return bedrock_wire.chat(ChatCall(model, messages, 5.0, **wishes)).body


@pytest.fixture(scope="module")
def shape() -> Any:
    """AWS's own description of a call."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2")).shape_for("ConverseRequest")


LOW = {"reasoning_effort": "low"}
CLOSED = {"type": "object", "properties": SCHEMA["properties"], "additionalProperties": False, "required": ["a"]}
FORMAT = {
    "type": "json_schema",
    "structure": {"jsonSchema": {"name": "answer", "schema": orjson.dumps(CLOSED).decode()}},
}
SPEC = {"toolSpec": {"name": "weather", "description": "The weather", "inputSchema": {"json": TOOL.parameters}}}
CALLS = [  # the model, wishes, the body but for its messages
    (NOVA, {}, {}),
    (HAIKU, {}, {"inferenceConfig": {"maxTokens": 4096}}),
    (
        NOVA,
        {"max_tokens": 5, "temperature": 0.0, "stop": ("END",), "params": {"top_p": 0.5, "service_tier": "flex"}},
        {
            "inferenceConfig": {"maxTokens": 5, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]},
            "serviceTier": {"type": "flex"},
        },
    ),
    (
        HAIKU,
        {"max_tokens": 2000, "params": {"top_k": 5} | LOW},
        {
            "inferenceConfig": {"maxTokens": 2000},
            "additionalModelRequestFields": {"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        },
    ),
    (
        NEW,
        {"params": LOW, "schema": SCHEMA},
        {
            "inferenceConfig": {"maxTokens": 4096},
            "outputConfig": {"effort": "low", "textFormat": FORMAT},
            "additionalModelRequestFields": {"thinking": {"type": "adaptive", "display": "summarized"}},
        },
    ),
    (NOVA, {"tools": (TOOL,)}, {"toolConfig": {"tools": [SPEC]}}),
    (NOVA, {"tools": (TOOL,), "tool_choice": "auto"}, {"toolConfig": {"tools": [SPEC], "toolChoice": {"auto": {}}}}),
    (NOVA, {"tools": (TOOL,), "tool_choice": "required"}, {"toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}}),
    (NOVA, {"tools": (TOOL,), "tool_choice": "none"}, {}),
    (
        NOVA,
        {"tools": (TOOL,), "tool_choice": Forced("weather")},
        {"toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "weather"}}}},
    ),
]


@pytest.mark.parametrize(("model", "wishes", "more"), CALLS)
def test_a_call_on_the_wire_is_one_that_aws_describes(model, wishes, more, shape):
    body = _body(model, **wishes)
    assert body == {"messages": SAID} | more
    report = ParamValidator().validate(body | {"modelId": model}, shape)
    assert not report.has_errors(), report.generate_report()


def test_turns_pictures_and_tools_have_converses_names(shape):
    turns = (
        Message("system", "Be short."),
        Message("user", "Look:", ("Look:", Image(PIXEL))),
        Message("assistant", "", tool_calls=(ToolCall("c1", "weather", '{"town":"Bonn"}'),)),
        Message("tool", "rain", tool_call_id="c1"),
    )
    body = _body(NOVA, turns, tools=(TOOL,))
    assert (body["system"], body["messages"]) == (
        [{"text": "Be short."}],
        [
            {
                "role": "user",
                "content": [
                    {"text": "Look:"},
                    {"image": {"format": "png", "source": {"bytes": PIXEL.partition(",")[2]}}},
                ],
            },
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": {"town": "Bonn"}}}],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "rain"}]}}]},
        ],
    )
    assert not ParamValidator().validate(body | {"modelId": NOVA}, shape).has_errors()


def test_a_model_without_structured_output_answers_by_a_tool():
    sent = bedrock_wire.chat(ChatCall(NOVA, HELLO, 5.0, schema=SCHEMA))
    assert (sent.tool, sent.body["toolConfig"]["toolChoice"]) == (True, {"tool": {"name": "answer"}})
    assert sent.body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": SCHEMA}


REFUSED = [
    (NOVA, {"params": {"top_k": 3}}, "`top_k`"),
    (NOVA, {"params": {"user": "u"}}, "`user`"),
    (NOVA, {"params": LOW}, "`reasoning_effort`"),
    (NOVA, {"seed": 1}, "`seed`"),
    (HAIKU, {"params": {"user": "u"}}, "`user`"),
    (HAIKU, {"tools": (TOOL,), "parallel_tool_calls": False}, "`parallel_tool_calls`"),
    (NEW, {"temperature": 0.3}, "`temperature`"),
    (NEW, {"tools": (TOOL,), "tool_choice": "required"}, "`tool_choice`"),
    (HAIKU, {"messages": (Message("user", "", (Image("https://example.org/a.png"),)),)}, "as bytes only"),
    (
        NOVA,
        {
            "messages": (
                *HELLO,
                Message("assistant", "", tool_calls=(ToolCall("c", "weather", "{}"),)),
                Message("tool", "x", tool_call_id="c"),
            ),
            "tools": (TOOL,),
            "tool_choice": "none",
        },
        "`tool_choice`",
    ),
]


@pytest.mark.parametrize(("model", "wishes", "words"), REFUSED)
def test_what_cannot_be_passed_on_is_refused_by_its_name(model, wishes, words):
    with pytest.raises(Unsupported) as caught:
        _body(model, **wishes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (HAIKU, "/model/global.anthropic.claude-haiku-4-5-20251001-v1:0/converse"),
        (
            "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x",
            "/model/arn:aws:bedrock:eu-central-1:1:inference-profile%2Feu.x/converse",
        ),
    ],
)
def test_a_model_in_a_path(model, path):
    assert bedrock_wire.path(model, "converse") == path


EMBEDS = [  # a call, the bodies that it needs
    (EmbedCall(TITAN, ("a", "b"), 5.0), [{"inputText": "a"}, {"inputText": "b"}]),
    (EmbedCall(TITAN, ("a",), 5.0, 256), [{"inputText": "a", "dimensions": 256, "normalize": True}]),
    (
        EmbedCall(COHERE, ("a", "b"), 5.0),
        [{"texts": ["a", "b"], "input_type": "search_document", "truncate": "NONE", "embedding_types": ["float"]}],
    ),
]


@pytest.mark.parametrize(("call", "bodies"), EMBEDS)
def test_embeddings_on_the_wire(call, bodies):
    assert list(map(orjson.loads, bedrock_wire.embeds(call))) == bodies


def test_many_texts_go_to_cohere_in_dozens():
    sizes = [len(orjson.loads(body)["texts"]) for body in bedrock_wire.embeds(EmbedCall(COHERE, ("x",) * 200, 5.0))]
    assert sizes == [96, 96, 8]


@pytest.mark.parametrize(
    "call", [EmbedCall(COHERE, ("a",), 5.0, 8), EmbedCall("amazon.titan-embed-text-v1", ("a",), 5.0, 8)]
)
def test_dimensions_are_refused_where_the_model_has_one_size(call):
    with pytest.raises(Unsupported, match="dimensions"):
        bedrock_wire.embeds(call)
