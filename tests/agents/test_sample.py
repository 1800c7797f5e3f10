"""The shipped FeedSpine sample is made of valid requests, small enough for a tiny model."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from agents import OPERATIONS
from agents.base import Whose
from schemas import Request
from tests.agents.doubles import library

pytestmark = pytest.mark.fast

LINES = (Path(__file__).parents[2] / "streams/sample/feedspine.jsonl").read_bytes().splitlines()
RECORDS = [orjson.loads(line) for line in LINES]


def test_there_are_at_least_forty_records_over_all_operations_but_one():
    counts = Counter(record["operation"] for record in RECORDS)
    # a tiny model is no judge of texts, and would be shown as one
    assert (set(counts), len(RECORDS) >= 40) == (set(OPERATIONS) - {"moderate"}, True)


def test_ids_are_unique():
    assert len({record["id"] for record in RECORDS}) == len(RECORDS)


@pytest.mark.parametrize("record", RECORDS, ids=[record["id"] for record in RECORDS])
def test_each_record_is_a_valid_request(record):
    operation = OPERATIONS[record["operation"]]
    request = Request.model_validate({key: value for key, value in record.items() if key != "operation"})
    asked = operation.input.model_validate(request.input)
    if operation.check:
        operation.check(asked)
    if operation.pin:
        operation.pin(asked, library(), Whose())
    assert (request.unknown_fields(), request.tenant, set(request.input) <= _names(operation)) == (
        [],
        "feedspine",
        True,
    )


def _names(operation):
    fields = operation.input.model_fields
    return {field.alias or name for name, field in fields.items()}
