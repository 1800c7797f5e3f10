"""The contract for programs: it is what the code says, the official schemas accept it, and real records are as it says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from agents import OPERATIONS
from prompts import Library
from schemas.request import Lane
from streams import reference, topics
from streams.choosing import Router
from streams.decode import Decoder, Defaults
from streams.reference import words
from streams.reference.__main__ import write
from streams.web.app import make_api
from streams.web.front import Front
from tests.parts.kafka import make_settings
from tests.system.stack import Seen, make_stack, request

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REFERENCE = ROOT / "docs/reference"
SAMPLE = [json.loads(line) for line in (ROOT / "streams/sample/feedspine.jsonl").read_text().splitlines()]


def official(name: str) -> Any:
    return json.loads((HERE / "official" / name).read_text(encoding="utf-8"))


def validator(stem: str) -> Any:
    """Of a schema as it lies in `docs/reference`."""
    schema = json.loads((REFERENCE / f"schemas/{stem}.json").read_text(encoding="utf-8"))
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def faults(stem: str, record: Any) -> list[str]:
    return [f"{error.instance_path}: {error.message}" for error in validator(stem).iter_errors(record)]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for below in node.values():
            yield from references(below)
    elif isinstance(node, list):
        for below in node:
            yield from references(below)


def leads_nowhere(document: Any) -> set[str]:
    found = set()
    for reference_ in set(references(document)):
        node = document
        for part in reference_.removeprefix("#/").split("/"):
            node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
        if not reference_.startswith("#/") or node is None:
            found.add(reference_)
    return found


@pytest.mark.fast
def test_what_lies_in_the_reference_is_what_the_code_says() -> None:
    there = {str(path.relative_to(REFERENCE)) for path in REFERENCE.rglob("*") if path.suffix in {".json", ".yaml"}}
    wanted = reference.files()
    old = {name for name in there & set(wanted) if (REFERENCE / name).read_text(encoding="utf-8") != wanted[name]}
    differing = sorted(old | (there ^ set(wanted)))
    assert differing == [], f"run `{reference.COMMAND}` and commit what it writes"


@pytest.mark.dear
@pytest.mark.fast
def test_writing_makes_whole_what_is_missing_and_takes_out_what_is_no_more(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "asyncapi.yaml").unlink()
    (tmp_path / "schemas/request.gone.json").write_text("{}")
    assert (write(tmp_path), write(tmp_path)) == (["asyncapi.yaml", "schemas/request.gone.json"], [])


@pytest.mark.fast
@pytest.mark.parametrize("stem", sorted(words.files(OPERATIONS)))
def test_each_schema_is_a_json_schema_of_2020_12(stem: str) -> None:
    schema = json.loads((REFERENCE / f"schemas/{stem}.json").read_text(encoding="utf-8"))
    assert schema["$schema"] == words.DIALECT
    jsonschema_rs.meta.validate(schema)
    assert leads_nowhere(schema) == set()


@pytest.mark.fast
def test_the_topics_are_described_as_asyncapi_wants_it() -> None:
    document = yaml.safe_load((REFERENCE / "asyncapi.yaml").read_text(encoding="utf-8"))
    judge = jsonschema_rs.Draft7Validator(official("asyncapi-3.0.0.json"))
    judge.validate(document)
    assert leads_nowhere(document) == set()
    document["channels"]["results"]["bindings"]["kafka"]["partitions"] = "four"
    document["operations"]["send.results"]["action"] = "shout"
    assert len(list(judge.iter_errors(document))) >= 2  # it looks that deep


@pytest.mark.fast
def test_every_topic_is_a_channel_with_its_own_settings() -> None:
    document = yaml.safe_load((REFERENCE / "asyncapi.yaml").read_text(encoding="utf-8"))
    table = topics.table(make_settings(), OPERATIONS)
    said = {
        (channel["address"], channel["bindings"]["kafka"]["partitions"]) for channel in document["channels"].values()
    }
    assert said == {(topic.name, topic.partitions) for topic in table}


@pytest.mark.fast
def test_the_routes_are_described_as_openapi_wants_it() -> None:
    document = json.loads((REFERENCE / "openapi.json").read_text(encoding="utf-8"))
    judge = jsonschema_rs.Draft202012Validator(official("openapi-3.1.json"))
    judge.validate(document)
    assert leads_nowhere(document) == set()
    document["paths"]["/v1/summarize"]["post"]["requestBody"] = {"required": True}
    assert not judge.is_valid(document)  # it looks that deep


@pytest.mark.fast
def test_the_service_itself_describes_the_same_routes() -> None:
    served = make_api(Front(make_settings(), "web")).openapi()
    written = json.loads((REFERENCE / "openapi.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(served["paths"])) == written["paths"]


@pytest.mark.fast
def test_each_record_of_the_shipped_sample_is_a_request() -> None:
    found = {
        line["id"]: faults(f"request.{line['operation']}", {k: v for k, v in line.items() if k != "operation"})
        for line in SAMPLE
    }
    assert {id_: said for id_, said in found.items() if said} == {}


@pytest.mark.fast
@pytest.mark.parametrize(
    ("operation", "record"),
    [
        ("summarize", {"input": {"content": "One."}}),
        ("summarize", {"input": {"content": " "}}),
        ("summarize", {"input": {}}),
        ("summarize", {"content": "flat is for HTTP"}),
        ("summarize", {"input": {"content": "One.", "max_sentences": 0}}),
        ("summarize", {"input": {"content": "One."}, "id": ""}),
        ("summarize", {"input": {"content": "One."}, "id": "a\nb"}),
        ("summarize", {"input": {"content": "One."}, "id": None, "unknown": 1}),
        ("summarize", {"input": {"content": "One."}, "deadline": "2026-11-21T10:00:00Z"}),
        ("summarize", {"input": {"content": "One."}, "deadline": "tomorrow"}),
        ("summarize", {"input": {"content": "One."}, "options": {"temperature": 3}}),
        ("summarize", {"input": {"content": "One."}, "options": {"on_ambiguous": "hope"}}),
        ("classify", {"input": {"content": "One.", "categories": ["a", "b"]}}),
        ("classify", {"input": {"content": "One.", "categories": {"a": "the first"}}}),
        ("classify", {"input": {"content": "One.", "categories": ["a", "a"]}}),
        ("classify", {"input": {"content": "One.", "categories": []}}),
        ("classify", {"input": {"content": "One.", "categories": {}}}),
        ("complete", {"input": {"prompt": "One."}}),
        ("complete", {"input": {"prompt": "One.", "messages": None}}),
        ("complete", {"input": {"prompt": "One.", "messages": [{"role": "user", "content": "Two."}]}}),
        ("complete", {"input": {}}),
        ("embed", {"input": {"texts": []}}),
        ("embed", {"input": {"texts": ["One."], "content": "One."}}),
        ("extract", {"input": {"content": "One.", "schema": {"type": "object"}}}),
        ("extract", {"input": {"content": "One.", "schema": "object"}}),
    ],
)
def test_a_request_is_one_for_the_schema_where_it_is_one_for_the_service(
    operation: str, record: dict[str, Any]
) -> None:
    decoder = Decoder(OPERATIONS, {}, Defaults("t", {}), Library.load(), Router({}, "none"))
    asked: Any = decoder.ask(operation, Lane.NORMAL, json.dumps(record).encode(), [], place="p", tenant="t")
    refused = "provider 'none'" not in asked.failure.message  # with no provider, what is right gets that far
    assert bool(faults(f"request.{operation}", record)) is refused, asked.failure.message


def invalid(stem: str, found: list[Any]) -> dict[str, list[str]]:
    return {json.dumps(record): said for record in found if (said := faults(stem, record))}


@pytest.mark.kafka
async def test_what_the_topics_hold_is_as_the_schemas_say(spine_bootstrap: str, tmp_path: Path) -> None:
    """One request per operation, one that fails, one that is answered at once, one again, no request at all, and their traces."""
    stack = await make_stack(spine_bootstrap, tmp_path / "data")
    firsts = {line["operation"]: line for line in reversed(SAMPLE)}
    async with stack.spine():
        for operation, line in firsts.items():
            record = {name: value for name, value in line.items() if name != "operation"}
            await stack.produce(record, topic=topics.request_topic(operation))
        await stack.produce(request("dead", "x [fake:refused*1]"), request("empty", " "), b"no request")
        results = await stack.answered(len(firsts) + 2)
        await stack.produce(firsts["summarize"] | {"operation": None}, topic=topics.request_topic("summarize"))
        results = await stack.answered(len(firsts) + 3)
        letters = await stack.until(lambda found: len(found) == 2, topic=topics.DLQ)
        usage = await stack.until(lambda found: len(found) >= len(firsts), topic=topics.USAGE)
        costs = await stack.until(lambda found: len(found) > 0, topic=topics.COSTS)
    assert {seen.json()["status"] for seen in results} == {"succeeded", "failed"}
    assert invalid("result", [seen.json() for seen in results]) == {}
    assert invalid("usage", [seen.json() for seen in usage]) == {}
    assert invalid("costs-daily", [seen.json() for seen in costs]) == {}
    assert invalid("dead-letter-headers", list(map(headers, letters))) == {}


def headers(seen: Seen) -> dict[str, str]:
    return {name: value.decode() for name, value in seen.headers.items()}
