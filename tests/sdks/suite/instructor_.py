"""instructor: classes out of answers, by tools and by schemas."""

import instructor
import pytest
from openai import OpenAI
from pydantic import BaseModel


class Sighting(BaseModel):
    ship: str
    hours_late: int


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS_STRICT])
def test_a_class(base_url: str, key: str, mode: instructor.Mode) -> None:
    client = instructor.from_openai(OpenAI(base_url=base_url, api_key=key), mode=mode)
    found = client.chat.completions.create(
        model="fake", messages=[{"role": "user", "content": "Where is the ferry?"}], response_model=Sighting
    )
    assert isinstance(found, Sighting)
