"""A deadline that passes while a call is under way; before one, `test_path` and `test_web_orders` have it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.streams.webs import client, opened, web_settings


async def test_an_answer_that_comes_too_late_is_delivered_and_says_so(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        deadline = datetime.now(UTC) + timedelta(seconds=3)
        body = {"content": "One. [fake:sleep:3.2]", "deadline": deadline.isoformat()}
        told = (await api.post("/v1/summarize?wait=60", json=body)).json()
    assert (told["status"], told["usage"]["calls"], told["warnings"]) == (
        "succeeded",
        1,
        ["late: the answer came after its deadline"],
    )
