"""Guards by setting, from the door to the model and back."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast

MAIL = "ann@example.org"
GUARDS = {"complete": ["email:mask"], "summarize": ["secrets:refuse"]}


async def test_verdicts_are_in_results_and_metrics(tmp_path: Path) -> None:
    """The double answers in the words that it read: with placeholders, which come back as what they stand for."""
    async with opened(web_settings(tmp_path, guards=GUARDS)) as (front, _), client(front) as api:
        masked = (await api.post("/v1/complete", json={"prompt": f"Write to {MAIL} about it."})).json()
        refused = await api.post("/v1/summarize", json={"content": "The key is sk-abcdEFGH12345678ijkl."})
        free = (await api.post("/v1/embed", json={"texts": ["sk-abcdEFGH12345678ijkl"]})).json()
        metrics = (await api.get("/metrics")).text
    assert MAIL in masked["output"]["content"]
    assert masked["warnings"] == ["guard `email`, before a call: found something, masked before the model read it"]
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["details"]) == (
        422,
        "invalid_request",
        {"guard": "secrets", "when": "before"},
    )
    assert (free["status"], free["warnings"]) == ("succeeded", [])
    assert set(re.findall(r"^genai_guards_total\{(.*)\} 1\.0$", metrics, re.MULTILINE)) == {
        'done="mask",rule="email",when="before"',
        'done="refuse",rule="secrets",when="before"',
    }


@pytest.mark.parametrize(
    ("guards", "says"),
    [({"summarise": ["pii:mask"]}, "there is no operation summarise"), ({"*": ["pii:hide"]}, "what is to be done")],
)
def test_a_setting_that_is_wrong_ends_the_process_with_a_sentence(
    guards: dict[str, list[str]], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=says):
        web_settings(tmp_path, guards=guards)
