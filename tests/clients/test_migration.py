"""The page on moving Capture Spine over: its blocks run one after another against a real spine, each with the names of those before."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from genai_spine_client import errors
from tests.clients.snippets import blocks, run

pytestmark = pytest.mark.fast

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "migrate-capture-spine.md"
TEXT = "The ferry Aurora was late on Friday. Fog lay over Bergen."


class Old:
    async def summary(self, item: dict[str, Any]) -> str:
        return "as before"


async def test_the_four_steps(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_SPINE_URL", url)
    steps = blocks(PAGE)
    names: dict[str, Any] = {
        "item": {"id": "a-1", "text": TEXT, "feed": "sea"},
        "archive": [TEXT, "Fares rise."],
        "old_provider": Old(),
    }
    (reach,) = steps.pop("1. Say where GenAI Spine is")
    _, names["first"] = await asyncio.to_thread(lambda: asyncio.run(run(reach, {})))
    for code in [code for step in steps.values() for code in step]:
        _, left = await run(code, names)
        names |= left
    assert "fake" in names["first"]["models"]
    assert names["item"]["summary"] and isinstance(names["item"]["names"], list)
    assert (len(names["summaries"]), names["run"].status) == (2, "succeeded")
    assert (names["headline"].output.prompt.slug, names["failed"]) == ("capture-headline", [])
    assert names["costs"].totals.calls >= 5
    assert await names["summary"](names["item"]) == names["item"]["summary"]  # a recorded answer
    await names["spine"].client.close()


async def test_the_way_out_is_taken_where_nobody_answers() -> None:
    (code, *_) = blocks(PAGE)["4. Take the providers out"]

    class Away:
        async def summary(self, item: Any) -> str:
            raise errors.Unreachable("no", sent=False)

    _, left = await run(code, {"spine": Away(), "errors": errors, "old_provider": Old()})
    assert await left["summary"]({}) == "as before"
