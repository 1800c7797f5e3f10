"""The double: seeded chance, directives, plausible answers that are valid for their schema, counts."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.calls import ChatCall, EmbedCall
from providers.double import answers
from providers.double.counts import Counts
from providers.double.faults import Behaviour, Plan, chance, plan
from providers.double.instance import Source, instance
from providers.errors import Overloaded, ServerError
from providers.fake import FakeProvider

pytestmark = pytest.mark.fast

NEWS = "Apple CEO Tim Cook announced record revenue in Cupertino on Tuesday, beating every forecast."

DIRECTIVES = [  # the text, which call of its request, its fate
    ("nothing", 1, Plan(0.1)),
    ("[fake:overloaded] x", 1, Plan(0.1, fault="overloaded")),
    ("[fake:overloaded*2] x", 2, Plan(0.1, fault="overloaded")),
    ("[fake:overloaded*2] x", 3, Plan(0.1)),
    ("[fake:rate_limited:2.5] x", 1, Plan(0.1, fault="rate_limited", argument=2.5)),
    ("[fake:rate_limited:2.5*1] x", 2, Plan(0.1)),
    ("[fake:sleep:1.5]", 1, Plan(1.6)),
    ("[fake:slow]", 1, Plan(1.0)),  # ten times the latency
    ("[fake:length]", 1, Plan(0.1, cut=True)),
    ("[fake:gibberish*1]", 1, Plan(0.1, gibberish=True)),
    ("[fake:tools]", 1, Plan(0.1, tools=1)),
    ("[fake:tools:3]", 1, Plan(0.1, tools=3)),
    ("[fake:reasoning]", 1, Plan(0.1, reasoning=True)),
    ("[fake:refusal]", 1, Plan(0.1, refusal=True)),
    ("[fake:content_filter]", 1, Plan(0.1, filtered=True)),
    ("[fake:no_such_fault]", 1, Plan(0.1)),
]


@pytest.mark.parametrize(("text", "nth", "fate"), DIRECTIVES)
def test_a_directive_decides_the_fate_of_a_call(text: str, nth: int, fate: Plan) -> None:
    got = plan(Behaviour(latency_s=0.1), "r1", nth, ("system", text))
    assert got == replace(fate, delay_s=pytest.approx(fate.delay_s))


def test_the_tail_and_the_failures_have_the_shares_asked_for() -> None:
    """Of 20,000 calls 5% and 10%; within four standard deviations."""
    how = Behaviour(latency_s=0.1, tail=0.05, failures=0.1, kinds=("overloaded", "cut"), seed=1)
    fates = [plan(how, f"r{i}", 1, ()) for i in range(20_000)]
    assert sum(fate.delay_s > 0.5 for fate in fates) == pytest.approx(1000, abs=125)
    assert sum(fate.fault == "overloaded" for fate in fates) == pytest.approx(1000, abs=125)
    assert sum(fate.fault == "cut" for fate in fates) == pytest.approx(1000, abs=125)
    assert fates == [plan(how, f"r{i}", 1, ()) for i in range(20_000)]
    assert fates != [plan(Behaviour(latency_s=0.1, tail=0.05, seed=2), f"r{i}", 1, ()) for i in range(20_000)]


def test_an_unknown_kind_of_failure_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"boom.*overloaded"):
        Behaviour(kinds=("boom",))


SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {"summary": {"type": "string"}, "key_points": {"type": "array", "items": {"type": "string"}}},
        "required": ["summary"],
    },
    {
        "$defs": {
            "e": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "type": {"enum": ["person", "org"]}},
                "required": ["text", "type"],
            }
        },
        "type": "object",
        "properties": {"entities": {"type": "array", "items": {"$ref": "#/$defs/e"}, "minItems": 2}},
        "required": ["entities"],
    },
    {
        "type": "object",
        "properties": {
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "n": {"type": "integer", "exclusiveMinimum": 3, "maximum": 4},
        },
    },
    {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 200, "maxLength": 220}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 7}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    {"type": ["null", "integer"], "multipleOf": 5, "minimum": 12, "maximum": 31},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False, "maxItems": 2},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 3},
    {"type": "array", "maxItems": 0},
    {
        "type": "object",
        "properties": {"when": {"type": "string", "format": "date-time"}, "child": {"$ref": "#"}},
        "required": ["when"],
    },
    {"type": "object", "required": ["free"], "additionalProperties": {"type": "string"}},
    {"type": "number", "maximum": -5},
    {"type": "integer", "minimum": 10**12},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
@given(seed=st.integers(0, 10**6))
def test_an_answer_is_valid_for_its_schema(schema: dict[str, Any], seed: int) -> None:
    made = instance(schema, Source(NEWS, seed))
    jsonschema_rs.validate(schema, made)
    assert instance(schema, Source(NEWS, seed)) == made


def test_entities_of_an_answer_occur_in_the_text() -> None:
    """The longest line is the content; the rest of a prompt is instructions."""
    said = answers.answer((f"Name the entities.\n\n{NEWS}\n\nAs JSON.",), schema=SCHEMAS[1], seed=3)
    entities = json.loads(said.text)["entities"]
    assert len(entities) == 2
    assert all(entity["text"] in NEWS and entity["text"][0].isupper() for entity in entities)


@given(text=st.text(), most=st.one_of(st.none(), st.integers(1, 20)), stop=st.text(max_size=2))
def test_any_prompt_has_an_answer_within_its_limits(text: str, most: int | None, stop: str) -> None:
    said = answers.answer((text,), schema=None, seed=0, max_tokens=most, stop=(stop,))
    assert said.tokens <= (most or answers.PLAIN_WORDS)
    assert not stop or stop not in said.text


@given(a=st.text(max_size=40), b=st.text(max_size=40))
def test_vectors_depend_on_the_words_only(a: str, b: str) -> None:
    assert answers.embed(f"{a} x {b}") == answers.embed(f"{a}   x\n{b}")
    assert sum(each * each for each in answers.embed(a)) == pytest.approx(1.0)


def test_texts_that_share_words_are_near_each_other() -> None:
    def near(a: str, b: str) -> float:
        return sum(x * y for x, y in zip(answers.embed(a), answers.embed(b), strict=True))

    assert near("my parcel has not arrived", "parcel arrived") > near("my parcel has not arrived", "bake bread") + 0.3


def test_chance_is_even_and_depends_on_every_part() -> None:
    draws = [chance(0, "x", i) for i in range(10_000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert sum(draws) / 10_000 == pytest.approx(0.5, abs=0.015)
    assert len({chance(0, "a"), chance(1, "a"), chance(0, "b"), chance(0, "a", 1)}) == 4


def test_the_mean_in_flight_is_weighted_by_time() -> None:
    """1 s with one call, 2 s with two, 1 s with one: 6 / 4."""
    now = 10.0
    counts = Counts(clock=lambda: now)
    counts.start("a")
    now = 11.0
    counts.start("b")
    now = 13.0
    counts.end("a", "finished")
    now = 14.0
    counts.end("b", "aborted")
    figures = counts.snapshot()
    assert (figures["mean_in_flight"], figures["max_in_flight"], figures["in_flight"]) == (1.5, 2, 0)
    assert figures["requests"]["b"] == {"started": 1, "finished": 0, "refused": 0, "broken": 0, "aborted": 1}


def test_a_reset_keeps_the_calls_in_flight() -> None:
    now = 0.0
    counts = Counts(clock=lambda: now)
    counts.start("a")
    now = 5.0
    counts.reset()
    now = 7.0
    counts.end("a", "finished")
    figures = counts.snapshot(requests=False)
    assert figures == {
        "started": 0, "finished": 1, "refused": 0, "broken": 0, "aborted": 0,
        "in_flight": 0, "max_in_flight": 1, "mean_in_flight": 1.0, "seconds": 2.0,
    }  # fmt: skip


async def test_a_retry_of_the_same_request_succeeds_after_as_many_faults_as_were_asked_for(
    ask: Callable[..., ChatCall],
) -> None:
    provider = FakeProvider(Behaviour())
    for error in (Overloaded, Overloaded, None):
        call = ask("[fake:overloaded*2] hello there", tag="r1")
        if error is None:
            await provider.chat(call, "in-process")
        else:
            with pytest.raises(error):
                await provider.chat(call, "in-process")
    assert provider.counts.snapshot()["requests"]["r1"] == {
        "started": 3, "finished": 1, "refused": 2, "broken": 0, "aborted": 0,
    }  # fmt: skip


async def test_an_embedding_can_fail_too() -> None:
    provider = FakeProvider(Behaviour())
    with pytest.raises(ServerError):
        await provider.embed(EmbedCall("fake-embed", ("a", "[fake:server_error]"), 1.0), "in-process")
    assert provider.counts.total.broken == 1
