"""The example that producers copy: both halves as programs of their own, against the real path."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from streams import topics
from tests.system.stack import make_stack

pytestmark = pytest.mark.kafka

HERE = Path(__file__).parents[2] / "examples/feedspine"
ITEMS = [json.loads(line) for line in (HERE / "items.jsonl").read_text().splitlines()]
REQUESTS = 2 * len(ITEMS)


async def ran(script: str, *arguments: str) -> str:
    """Its standard output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        HERE / script,
        *arguments,
        HERE / "items.jsonl",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_every_item_becomes_silver_and_asking_again_costs_nothing(spine_bootstrap: str, tmp_path: Path) -> None:
    stack = await make_stack(spine_bootstrap, tmp_path / "data")
    async with stack.spine() as spine:
        await ran("enrich.py", "--brokers", spine_bootstrap)
        silver = records(await ran("join.py", "--brokers", spine_bootstrap, "--timeout", "50"))
        calls = spine.providers["fake"].counts.total.started
        await ran("enrich.py", "--brokers", spine_bootstrap, "--lane", "batch")
        seen = await stack.answered(2 * REQUESTS)
        again = records(await ran("join.py", "--brokers", spine_bootstrap, "--timeout", "50"))
        usage = await stack.until(lambda found: len(found) >= calls, topic=topics.USAGE)
        assert spine.providers["fake"].counts.total.started == calls
    assert {key: (item["feed"], item["failed"]) for key, item in silver.items()} == {
        item["key"]: (item["feed"], {}) for item in ITEMS
    }
    assert all(item["summary"] and item["category"] for item in silver.values())
    assert again == silver
    assert [s.json()["usage"]["cost_usd"] for s in seen if s.json()["replayed"]] == ["0.000000"] * REQUESTS
    assert len(usage) == calls


def records(lines: str) -> dict[str, dict[str, Any]]:
    """By key; each item once."""
    found = [json.loads(line) for line in lines.splitlines()]
    assert len({item["key"] for item in found}) == len(found)
    return {item["key"]: item for item in found}
