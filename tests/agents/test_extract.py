"""extract publishes what stands in the text, under the types asked for."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.base import InvalidInput, OperationError
from agents.extract import OPERATION, extract
from providers.base import Traits
from schemas.extract import Entity, Input, Output
from tests.agents.doubles import ScriptedCaller, said

pytestmark = pytest.mark.fast

TEXT = "Tim Cook runs Apple. Apple grew."
ASKED = Input(content=TEXT, entity_types=["ORG", "PERSON"])


async def test_entities_are_published_by_position_with_real_offsets():
    caller = ScriptedCaller([{"entities": {"ORG": ["Apple", "Apple"], "PERSON": ["tim  cook"]}}])
    answer = await extract(ASKED, caller)
    assert answer == Output(
        entities=[
            Entity(text="Tim Cook", type="PERSON", start=0, end=8),
            Entity(text="Apple", type="ORG", start=14, end=19),
            Entity(text="Apple", type="ORG", start=21, end=26),
        ]
    )
    assert caller.warnings == []


DROPPED = [
    ({"ORG": ["Google", "Microsoft"]}, ["2 entities that do not occur in the text were dropped"]),
    ({"ORG": ["Google"]}, ["1 entity that does not occur in the text was dropped"]),
    ({"CITY": ["Apple"]}, ["1 entity of a type not asked for was dropped"]),
    ({"CITY": ["Apple", "Tim"]}, ["2 entities of types not asked for were dropped"]),
    ({"ORG": ["Apple", "Apple", "Apple"]}, []),  # once more than it occurs: merged, not invented
]


@pytest.mark.parametrize(("said", "warnings"), DROPPED, ids=[str(said) for said, _ in DROPPED])
async def test_what_is_dropped_is_counted(said, warnings):
    caller = ScriptedCaller([{"entities": said}])
    answer = await extract(ASKED, caller)
    assert caller.warnings == warnings
    assert all(TEXT[found.start : found.end] == found.text and found.type == "ORG" for found in answer.entities)


async def test_a_list_of_texts_and_types_is_read_too():
    caller = ScriptedCaller([{"entities": [{"text": "Apple", "type": "org"}]}])
    assert (await extract(ASKED, caller)).entities == [Entity(text="Apple", type="ORG", start=14, end=19)]


async def test_without_types_and_schema_the_usual_types_are_asked_for():
    caller = ScriptedCaller([{"entities": {"person": ["Tim Cook"]}}])
    await extract(Input(content=TEXT), caller)
    assert "person, organization, location, date, money" in caller.chats[0].messages[-1].content


async def test_key_points_only_on_request():
    said = {"entities": {}, "key_points": ["It grew.", " "]}
    with_them, without = ScriptedCaller([said]), ScriptedCaller([said])
    points = (await extract(Input(content=TEXT, key_points=True), with_them)).key_points
    assert (points, (await extract(Input(content=TEXT), without)).key_points) == (["It grew."], [])


DATA = {"type": "object", "properties": {"boss": {"$ref": "#/$defs/name"}}, "$defs": {"name": {"type": "string"}}}


async def test_a_schema_alone_makes_one_call_for_data_with_its_references_whole():
    caller = ScriptedCaller([{"boss": 1}, {"boss": "Tim Cook"}])
    answer = await extract(Input(content=TEXT, schema=DATA), caller)
    assert answer == Output(entities=[], data={"boss": "Tim Cook"})
    assert [call.schema for call in caller.chats] == [DATA, DATA]  # the second one repairs


async def test_types_and_a_schema_make_two_calls():
    caller = ScriptedCaller([{"entities": {"ORG": ["Apple"]}}, {"boss": "Tim"}])
    answer = await extract(Input(content=TEXT, entity_types=["ORG"], schema=DATA), caller)
    assert (len(answer.entities), answer.data) == (1, {"boss": "Tim"})


def test_a_broken_schema_is_found_at_acceptance():
    assert OPERATION.check is not None
    with pytest.raises(InvalidInput, match="`schema` is not a JSON Schema"):
        OPERATION.check(Input(content=TEXT, schema={"type": "nope"}))


SMALL = Traits(paid=False, context_tokens=800)  # 400 for the answer, about 300 for a part
FIRST, SECOND = "Tim Cook runs Apple. " * 50, "Ann Lee runs Apple. " * 50  # about 210 tokens each
LONG = FIRST + SECOND
IN_TWO = "the content is longer than the model's context and was read in 2 parts"


async def test_above_the_context_offsets_are_those_of_the_whole_content():
    said = [{"entities": {"ORG": ["Apple", "Google"], "PERSON": [name]}} for name in ("Tim Cook", "Ann Lee")]
    caller = ScriptedCaller(said, traits=SMALL)
    answer = await extract(Input(content=LONG, entity_types=["ORG", "PERSON"]), caller)
    assert all(LONG[found.start : found.end] == found.text for found in answer.entities)
    assert [found.text for found in answer.entities] == ["Tim Cook", "Apple", "Ann Lee", "Apple"]
    assert answer.entities[2].start >= len(FIRST)
    assert caller.warnings == ["2 entities that do not occur in the text were dropped", IN_TWO]


class Naming(ScriptedCaller):
    """A model that names every third word of what it is given, and one that is not there."""

    async def chat(self, messages, **_wishes):
        text = messages[-1].content.split("<text>\n")[1].split("\n</text>")[0]
        return said({"entities": {"ORG": [*text.split()[::3], "Nobody & Sons"]}})


@given(
    words=st.lists(
        st.sampled_from(["Acme", "sold.", "İstanbul", "e\u0301t\u00e9", "👩🏽‍🚀!", "中国。", "It", "3.5%"]), min_size=5
    ),
    gap=st.sampled_from([" ", "\n\n", "  "]),
    context=st.integers(240, 400),
)
def test_every_offset_holds_its_text_wherever_the_content_is_cut(words, gap, context):
    content = gap.join(words * 8)
    caller = Naming(traits=Traits(paid=False, context_tokens=context))
    answer = asyncio.run(extract(Input(content=content, entity_types=["ORG"]), caller))
    assert answer.entities
    assert all(content[found.start : found.end] == found.text for found in answer.entities)
    spans = [(found.start, found.end) for found in answer.entities]
    assert spans == sorted(set(spans))


async def test_key_points_of_the_parts_are_merged_and_reduced_when_they_are_too_many():
    points = [{"key_points": ["One", "Two", "Three"]}, {"key_points": ["two", "Four", "Five", "Six"]}]
    caller = ScriptedCaller([*points, {"key_points": ["All"]}], traits=SMALL)
    answer = await extract(Input(content=LONG, schema={}, key_points=True), caller_with_data(caller, 2))
    sent = caller.chats[2].messages[-1].content
    assert (answer.key_points, caller.warnings) == (["All"], [IN_TWO])
    assert "One\nTwo\nThree\nFour\nFive\nSix" in sent


def caller_with_data(caller, parts):
    """The form that the schema asks for is filled in after the key points."""
    caller.answers = [*caller.answers, *[{}] * parts]
    return caller


FORM = {
    "type": "object",
    "properties": {
        "boss": {"type": ["string", "null"]},
        "firm": {"type": "object"},
        "products": {"type": "array", "maxItems": 3},
    },
}


async def test_forms_of_the_parts_are_merged():
    said = [
        {"boss": None, "firm": {"name": "Apple", "city": ""}, "products": ["Mac", {"n": 1}]},
        {"boss": "Ann Lee", "firm": {"name": "APPLE", "city": "Kobe"}, "products": [{"n": 1}, "TV"]},
    ]
    caller = ScriptedCaller(said, traits=SMALL)
    answer = await extract(Input(content=LONG, schema=FORM), caller)
    assert answer.data == {
        "boss": "Ann Lee",
        "firm": {"name": "Apple", "city": "Kobe"},
        "products": ["Mac", {"n": 1}, "TV"],
    }
    assert caller.warnings == [IN_TWO, "the parts disagree on firm.name; the first one that says something was taken"]


async def test_a_merged_form_that_breaks_the_schema_is_an_error():
    caller = ScriptedCaller([{"products": [1, 2]}, {"products": [3, 4]}], traits=SMALL)
    with pytest.raises(OperationError, match="together does not fit the schema: products") as caught:
        await extract(Input(content=LONG, schema=FORM), caller)
    assert caught.value.failure.type == "context_too_long"


async def test_a_single_value_cannot_be_merged_which_is_said_before_the_first_call():
    caller = ScriptedCaller(traits=SMALL)
    with pytest.raises(OperationError, match="of the type string, null cannot be merged") as caught:
        await extract(Input(content=LONG, schema={"type": ["string", "null"]}), caller)
    assert (caught.value.failure.type, caller.chats) == ("context_too_long", [])
