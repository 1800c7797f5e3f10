"""The official client's moderations: one text, several, and parts; what is wrong is raised with its name."""

import asyncio

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

SAID = "There will be violence at the ferry."


@pytest.fixture
def client(base_url: str, key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=key)


def test_each_text_has_its_verdict(client: OpenAI) -> None:
    made = client.moderations.create(input=[SAID, "The ferry was late."])
    assert made.id.startswith("modr-") and made.model == "fake/fake"
    assert len(made.results) == 2
    for result in made.results:
        found = result.categories.model_dump()
        assert result.flagged == any(found.values())
        assert all(0 <= score <= 1 for score in result.category_scores.model_dump().values())
        assert found.keys() == result.category_scores.model_dump().keys()
        assert {"self_harm_intent", "violence_graphic", "illicit"} <= found.keys()


def test_parts_are_one_text_and_a_model_can_be_named(client: OpenAI) -> None:
    made = client.moderations.create(input=[{"type": "text", "text": SAID}], model="fake")
    assert (made.model, len(made.results)) == ("fake", 1)


def test_what_is_wrong_is_raised_with_its_name(client: OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(openai.BadRequestError) as wrong:
        client.moderations.create(input=[picture])  # type: ignore[list-item]
    assert wrong.value.param == "input[0]"
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input=SAID, model="nobody")


def test_the_same_without_blocking(base_url: str, key: str) -> None:
    made = asyncio.run(AsyncOpenAI(base_url=base_url, api_key=key).moderations.create(input=SAID))
    assert len(made.results) == 1
