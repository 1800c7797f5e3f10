"""Bodies of OpenAI's paths: every field is passed on, or refused by its name. Pure."""

from typing import Any

import pytest

from providers.calls import Delta, ToolCall
from schemas.chat import Params
from streams.web.openai import answers, chat, completions, describing, embeddings, fields
from streams.web.openai.answers import Sent
from streams.web.problems import Problem

pytestmark = pytest.mark.fast

USER = {"role": "user", "content": "Hello"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}


def read(**more: Any) -> fields.Asked:
    return chat.read({"model": "m", "messages": [USER], **more})


BASE = {"messages": [USER], "repair": False, "whole": True}


@pytest.mark.parametrize(
    ("more", "input_", "options"),
    [
        ({}, {}, {}),
        ({"temperature": None, "tools": None, "n": None}, {}, {}),
        ({"max_tokens": 7}, {}, {"max_tokens": 7}),
        ({"max_completion_tokens": 8, "temperature": 0.5}, {}, {"max_tokens": 8, "temperature": 0.5}),
        ({"max_completion_tokens": 8, "max_tokens": 8}, {}, {"max_tokens": 8}),
        ({"stop": "x"}, {"stop": ["x"]}, {}),
        ({"stop": ["x", "y"]}, {"stop": ["x", "y"]}, {}),
        ({"seed": 3, "n": 2}, {"seed": 3, "n": 2}, {}),
        ({"logprobs": True}, {"logprobs": 0}, {}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}, {}),
        ({"logprobs": False}, {}, {}),
        ({"response_format": {"type": "text"}}, {}, {}),
        ({"response_format": {"type": "json_object"}}, {"json_object": True}, {}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "strict": True, "schema": SCHEMA},
                }
            },
            {"output_schema": SCHEMA},
            {},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"description": "d", "schema": SCHEMA}}},
            {"output_schema": {"description": "d", **SCHEMA}},
            {},
        ),
        (
            {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
            {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
            {},
        ),
        ({"top_p": 0.5, "service_tier": "flex"}, {"params": {"top_p": 0.5, "service_tier": "flex"}}, {}),
        ({"safety_identifier": "u"}, {"params": {"user": "u"}}, {}),
        ({"store": False, "modalities": ["text"]}, {}, {}),
    ],
)
def test_what_is_passed_on(more: dict[str, Any], input_: dict[str, Any], options: dict[str, Any]) -> None:
    assert read(**more).record == {"input": {**BASE, **input_}, "options": options}


def test_metadata_stays_with_the_request() -> None:
    assert read(metadata={"a": "b"}).record["metadata"] == {"a": "b"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [USER]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "Hello"}, "messages"),
        ({"model": " ", "messages": [USER]}, "model"),
        ({"nonsense": 1}, "nonsense"),
        ({"prompt": "both shapes"}, "prompt"),
        ({"input": "both shapes"}, "input"),
        ({"system": "Anthropic's"}, "system"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "n": 2}, "n"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"nonsense": 1}}, "stream_options.nonsense"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"user": "a", "safety_identifier": "b"}, "safety_identifier"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": 3}, "logprobs"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": {}}}, "response_format"),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages[0].content[0].type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"messages": [{**USER, "audio": {"id": "x"}}]}, "messages[0].audio"),
        ({"messages": [USER, {**USER, "cache_control": {}}]}, "messages[1].cache_control"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
            "messages[0].content[0].cache_control",
        ),
    ],
)
def test_what_is_refused_is_named(body: dict[str, Any], param: str) -> None:
    whole = body if {"model", "messages"} & body.keys() == {"model"} else {"messages": [USER], **body}
    if param != "model":
        whole = {"model": "m", **whole} if param != "messages" or "messages" in body else whole
    with pytest.raises(Problem) as caught:
        chat.read(whole)
    assert (caught.value.status, caught.value.more["param"]) == (400, param)


PARTS = [{"type": "text", "text": "x"}]
CALLS = [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"messages": [USER] * 1001}, "messages", "has 1001 turns; at most 1000"),
        (
            {"messages": [{"role": "user", "content": PARTS * 2049}]},
            "messages[0].content",
            "has 2049 parts; at most 2048",
        ),
        (
            {"messages": [USER, {"role": "assistant", "tool_calls": CALLS * 2049}]},
            "messages[1].tool_calls",
            "has 2049 parts; at most 2048",
        ),
        ({"messages": [{"role": "user", "content": PARTS * 2000}] * 5}, "messages", "has 10000 parts"),
        ({"tools": [TOOL] * 129}, "tools", "has 129 tools; at most 128"),
        ({"logit_bias": dict.fromkeys(map(str, range(4097)), 1)}, "logit_bias", "has 4097 keys; at most 4096"),
        ({"metadata": dict.fromkeys(map(str, range(1025)), "x")}, "metadata", "has 1025 keys; at most 1024"),
    ],
)
def test_what_is_too_many_is_refused_with_its_number(more: dict[str, Any], param: str, words: str) -> None:
    """Each takes its time in the event loop: all together are counted before the first is looked at."""
    with pytest.raises(Problem) as caught:
        read(**more)
    assert (caught.value.status, caught.value.more["param"]) == (400, param)
    assert f"`{param}` {words}" in str(caught.value)


def test_an_answer_of_ours_may_be_sent_back() -> None:
    """As the SDKs' `message.model_dump()` writes it."""
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    empty = {"refusal": None, "annotations": [], "audio": None, "function_call": None}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm.", **empty},
        {"role": "assistant", "content": "Hi", **empty, "tool_calls": None},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    assert read(messages=turns).record["input"]["messages"] == [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "assistant", "content": "Hi"},
        {"role": "assistant", "content": "No."},
    ]


@pytest.mark.parametrize(
    ("words", "body", "param", "says"),
    [
        (
            "`options.temperature`: Input should be less than or equal to 2",
            {"temperature": 3},
            "temperature",
            "`temperature`: Input should be less than or equal to 2.",
        ),
        (
            "`options.max_tokens`: no",
            {"max_completion_tokens": 0},
            "max_completion_tokens",
            "`max_completion_tokens`: no.",
        ),
        ("`input.params.top_p`: no", {"top_p": 3}, "top_p", "`top_p`: no."),
        ("`input.logprobs`: no", {"logprobs": True, "top_logprobs": 99}, "top_logprobs", "`top_logprobs`: no."),
        (
            "`input.messages.1.content.constrained-str`: a; `input.messages.1.content.list[function]`: b",
            {"messages": [USER, {"role": "user", "content": 7}]},
            "messages[1].content",
            "`messages[1].content`: a; `messages[1].content`: b.",
        ),
        (
            "`input.messages.0.role`: missing",
            {"messages": [{"content": "x"}]},
            "messages[0].role",
            "`messages[0].role`: missing.",
        ),
        (
            "`input`: `tool_choice` needs `tools`",
            {"tool_choice": "auto"},
            "tool_choice",
            "`input`: `tool_choice` needs `tools`.",
        ),
        ("`output_schema` has a `$ref`", {"response_format": {}}, "response_format", "`response_format` has a `$ref`."),
        ("`input.texts.0`: blank", {"input": ["  "]}, "input[0]", "`input[0]`: blank."),
    ],
)
def test_the_decoders_words_name_the_callers_fields(words: str, body: dict[str, Any], param: str, says: str) -> None:
    found = fields.refused(words, body)
    assert (found.more["param"], found.detail) == (param, says)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["x"] * 65}, "prompt"),
        ({"prompt": ["x", "y"], "stream": True}, "stream"),
        ({"messages": [USER]}, "messages"),
        ({"tools": [TOOL]}, "tools"),
    ],
)
def test_what_the_old_path_refuses(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as caught:
        completions.read({"model": "m", "prompt": "x", **body})
    assert (caught.value.status, caught.value.more["param"]) == (400, param)


def test_several_prompts_are_several_requests() -> None:
    found = completions.read(
        {"model": "m", "prompt": ["a", "b"], "max_tokens": 3, "best_of": 1, "echo": False, "suffix": None}
    )
    assert [each.record["input"]["prompt"] for each in found] == ["a", "b"]
    assert found[0].record == {"input": {"prompt": "a", "whole": True}, "options": {"max_tokens": 3}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [1, 99999999]}, "input"),
        ({"input": [[1], [-2]]}, "input"),
        ({"input": [[1], []]}, "input"),
        ({"input": [[1], "x"]}, "input"),
        ({"input": [1.5]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"messages": [USER]}, "messages"),
        ({"user": 7}, "user"),
    ],
)
def test_what_embeddings_refuse(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as caught:
        embeddings.read({"model": "m", "input": "x", **body})
    assert (caught.value.status, caught.value.more["param"]) == (400, param)


_FOG = ([37, 540, 304, 80099], [146416, 306, 63780])
"""`Fog in Bergen` by cl100k_base and by o200k_base."""


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("text-embedding-3-small", 0),
        ("openai/gpt-4o", 1),
        ("fake-embed", 0),  # what LangChain sends for a name that it does not know
    ],
)
def test_tokens_are_read_back_into_their_text(model: str, tokens: int) -> None:
    for given, texts in ((_FOG[tokens], ["Fog in Bergen"]), ([_FOG[tokens]] * 2, ["Fog in Bergen"] * 2)):
        asked, _ = embeddings.read({"model": model, "input": given})
        assert asked.record["input"]["texts"] == texts


def test_a_bare_prompt_is_taken_as_tokens_where_the_name_says_whose_they_are() -> None:
    found = completions.read({"model": "openai/gpt-3.5-turbo-instruct", "prompt": _FOG[0]})
    assert [each.record["input"]["prompt"] for each in found] == ["Fog in Bergen"]
    with pytest.raises(Problem, match=r"the tokenizer of 'llama3\.2' is not known here"):
        completions.read({"model": "llama3.2", "prompt": _FOG[0]})


def test_every_field_is_described() -> None:
    described = {
        name: set(told["requestBody"]["content"]["application/json"]["schema"]["properties"])
        for name, told in (("chat", describing.CHAT), ("old", describing.OLD), ("embeddings", describing.EMBEDDINGS))
    }
    assert described == {"chat": chat.FIELDS, "old": completions.FIELDS, "embeddings": embeddings.FIELDS}
    assert set(Params.model_fields) <= chat.FIELDS


CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
CHOICE = {"content": "Fog in Bergen.", "refusal": None, "reasoning": None, "tool_calls": [CALL], "logprobs": None}


@pytest.mark.parametrize(
    ("told", "rest"),
    [
        ([], Delta("Fog in Bergen.", tool_calls=((0, ToolCall("c", "look", '{"a": 1}')),))),
        (
            [Delta("Fog in "), Delta(tool_calls=((0, ToolCall("c", "look", '{"a"')),))],
            Delta("Bergen.", tool_calls=((0, ToolCall("", "", ": 1}")),)),
        ),
        ([Delta("Fog in Bergen."), Delta(tool_calls=((0, ToolCall("c", "look", '{"a": 1}')),))], Delta()),
        ([Delta("Rain")], None),
        ([Delta(tool_calls=((0, ToolCall("c", "look", "[")),))], None),
        ([Delta(tool_calls=((0, ToolCall("c", "look", "")), (1, ToolCall("d", "look", ""))))], None),
    ],
)
def test_the_rest_of_an_answer_that_was_read_along(told: list[Delta], rest: Delta | None) -> None:
    sent = Sent()
    for delta in told:
        sent.add(delta)
    assert sent.rest(CHOICE) == rest


def test_the_old_paths_lists_of_log_probabilities() -> None:
    found = [
        {"token": "Fo", "logprob": -1.0, "top_logprobs": [{"token": "Ra", "logprob": -2.0}]},
        {"token": "g", "logprob": -3.0},
    ]
    assert answers.text_choice(0, "Fog", "stop", found, start=4)["logprobs"] == {
        "tokens": ["Fo", "g"],
        "token_logprobs": [-1.0, -3.0],
        "top_logprobs": [{"Ra": -2.0}, {}],
        "text_offset": [4, 6],
    }
