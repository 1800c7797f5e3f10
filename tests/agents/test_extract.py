"""extract publishes what stands in the text, under the types asked for."""

import pytest

from agents.base import InvalidInput
from agents.extract import OPERATION, extract
from schemas.extract import Entity, Input, Output
from tests.agents.doubles import ScriptedCaller

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
