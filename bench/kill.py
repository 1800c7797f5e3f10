"""What each side loses and pays twice when it is killed in the middle of long-tailed calls, and how soon all is done again."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import aiohttp

from bench import ground, load
from bench.ground import Ground
from bench.report import Line, Report
from bench.sides import Prepared, installed, interleaved, prepared

RECORDS, CALL_S, TAIL = 500, 0.2, 0.05
_KILLED_AT = 200
"""Results: the first slow calls are long since begun and not yet back."""
_QUIET_S = 75.0
"""Nothing more comes: longer than any of these clients waits for a member of its group that has died."""
Figures = dict[str, list[float]]


async def kill(where: Ground, size: Any, databases: Sequence[str]) -> Report:
    """SIGKILL at 200 of 500 results, and a new process of the same group at once."""
    lost: Figures = defaultdict(list)
    twice: Figures = defaultdict(list)
    after: Figures = defaultdict(list)
    for side in interleaved(size.rounds, [*installed(), *databases]):
        with ground.double(where, CALL_S, tail=TAIL) as model:
            at = await prepared(where, side, model, backlog=RECORDS)
            seconds = await _killed(at)
            answers = await load.read(where.bootstrap, at.since)
            lost[side].append(RECORDS - len(answers.ids))
            twice[side].append(await _called_again(model))
            after[side].append(seconds)
    lines = []
    for side in lost:
        lines.append(Line(side, "lost", "", lost[side]))
        lines.append(Line(side, "called again", "", twice[side]))
        lines.append(Line(side, "last answer after the kill", "s", after[side]))
    return Report("kill", f"{RECORDS} records, calls of {CALL_S:g} s, one in twenty of ten times that", lines)


async def _killed(at: Prepared) -> float:
    """Seconds from the kill to the last answer that came."""
    with at.process() as process:
        await load.wait_for(at.where.bootstrap, at.since, _KILLED_AT)
        process.kill()
    began = time.monotonic()
    with at.process():
        return await _last_answer(at) - began


async def _last_answer(at: Prepared) -> float:
    """When the results topic grew for the last time; every record has its answer, or nothing came for long."""
    seen, changed = 0, time.monotonic()
    while time.monotonic() - changed < _QUIET_S:
        now = (await load.mark(at.where.bootstrap, at.results)).total() - at.since.total()
        if now != seen:
            seen, changed = now, time.monotonic()
            if seen >= RECORDS and len((await load.read(at.where.bootstrap, at.since)).ids) == RECORDS:
                break
        await asyncio.sleep(0.25)
    return changed


async def _called_again(model: str) -> float:
    """Calls beyond the first of each request, as the double has counted them."""
    async with aiohttp.ClientSession() as session:
        told = await (await session.get(f"{model}/_counts")).json()
    return float(sum(each["started"] - 1 for each in told["requests"].values()))
