"""A row that is called back in the very moment in which it begins goes back, and ends like any other."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast


async def test_a_row_called_back_before_its_first_step_is_not_held_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(web_settings(tmp_path, fake_slots=1)) as (front, spine), client(front) as api:
        engine, recalled = spine.engine, []
        starts = engine.dispatch._start_ahead

        def start_and_recall(shelf: Any) -> None:
            starts(shelf)
            new = [pk for pk in engine.seats if pk not in recalled]
            recalled.extend(new)
            engine.recalls.send_back(new)

        monkeypatch.setattr(engine.dispatch, "_start_ahead", start_and_recall)

        async def post(number: int) -> str:
            return str((await api.post("/v1/summarize?wait=20", json={"content": f"One {number}."})).json()["status"])

        found = await asyncio.gather(*map(post, range(8)))
        assert (found, engine.tasks) == (["succeeded"] * 8, {})
    assert recalled
