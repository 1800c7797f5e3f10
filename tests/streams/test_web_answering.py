"""What the API answers is what its description says: the examples here, what a spine really answers in `tests/clients`."""

import pytest
from pydantic import TypeAdapter

from streams.web.answering import ANSWERS
from streams.web.app import make_api
from streams.web.examples import answers, orders
from streams.web.front import Front
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

SHOWN = {**{("get", path): told for path, told in answers.ANSWERS.items()},
         **{("post", path): told for path, (_, _, told) in orders.ORDERS.items()}}  # fmt: skip


@pytest.mark.parametrize("route", [route for route in ANSWERS if route in SHOWN], ids=" ".join)
def test_an_example_is_of_its_model(route: tuple[str, str]) -> None:
    kind = ANSWERS[route][0] if len(ANSWERS[route]) == 1 else ANSWERS[route][0] | ANSWERS[route][1]
    TypeAdapter(kind).validate_python(SHOWN[route])


def test_every_answer_points_to_its_model() -> None:
    described = make_api(Front(make_settings(), "web")).openapi()
    for (method, path), models in ANSWERS.items():
        replies = described["paths"][path][method]["responses"]
        schemas = [reply["content"]["application/json"]["schema"] for code, reply in replies.items() if code[0] == "2"]
        names = {ref["$ref"].rpartition("/")[2] for schema in schemas for ref in schema.get("anyOf", [schema])}
        assert names == {model.__name__ for model in models}, path


def test_no_answer_in_json_is_left_undescribed() -> None:
    described = make_api(Front(make_settings(), "web")).openapi()
    blank = [
        (method, path)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for status, reply in operation["responses"].items()
        if status[0] == "2" and reply.get("content", {}).get("application/json", {"schema": True})["schema"] == {}
    ]
    assert blank == []
