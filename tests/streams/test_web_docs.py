"""The API's description: whole, with examples that are true, and a page that needs nobody else."""

import re
from pathlib import Path

import pytest

from agents import OPERATIONS
from schemas.result import Result
from streams.web.app import make_api
from streams.web.examples import operations
from streams.web.front import Front
from tests.parts.kafka import make_settings
from tests.streams.webs import client, web_settings

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_examples_of_an_operation_fit_its_schemas(name: str) -> None:
    operation = OPERATIONS[name]
    given = operation.input.model_validate(operations.INPUTS[name])
    operation.output.model_validate(operations.OUTPUTS[name])
    Result.model_validate(operations.result(name))
    if operation.check is not None:
        operation.check(given)


def test_an_extracted_example_stands_where_it_says() -> None:
    content = operations.INPUTS["extract"]["content"]
    for entity in operations.OUTPUTS["extract"]["entities"]:
        assert content[entity["start"] : entity["end"]] == entity["text"]


def test_every_route_is_described_with_its_refusals_and_every_reference_leads_somewhere() -> None:
    described = make_api(Front(make_settings(), "web")).openapi()
    text = str(described)
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert (names - described["components"]["schemas"].keys(), "$defs" in text) == (set(), False)
    for path, methods in described["paths"].items():
        for route in methods.values():
            declared = {each["name"] for each in route.get("parameters", ()) if each["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))
            assert "default" in route["responses"]
    for name in OPERATIONS:
        (content,) = described["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"].values()
        assert content["example"] == operations.INPUTS[name]


async def test_the_page_is_ours_alone(tmp_path: Path) -> None:
    async with client(Front(web_settings(tmp_path, api_key="k"), "web")) as api:
        page = await api.get("/docs")
        assert page.status_code == 200
        for name in OPERATIONS:
            assert f"/v1/{name}" in page.text
        loaded = re.findall(r'(?:src|href)="([^"#][^"]*)"', page.text)
        assert {address for address in loaded if not address.startswith(("/", "data:,"))} == set()
        for address in (each for each in loaded if each.startswith("/assets/")):
            assert (await api.get(address)).status_code == 200
        assert "<script" not in page.text and "style=" not in page.text
        policy = page.headers["content-security-policy"]
        assert ("default-src 'none'" in policy, "unsafe" in policy) == (True, False)
        assert (await api.get("/openapi.json")).json()["openapi"].startswith("3.1")
