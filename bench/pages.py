"""How long a page takes of lists that have become long: `python -m bench --only pages [--many 1000000]`.

One run of very many items, as many runs, and their calls, of which one prompt made a hundredth; the items came evenly over the
last day, and one in twenty waits for a provider that nobody has. Pages are asked of a `web` process over HTTP, one after
another, each behind the last; what a process keeps for a second only when it has to look anew.
"""

import functools
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from rich.console import Console
from sqlalchemy import Connection, insert, text

from bench import ground, report
from bench.doors import free_port, serving
from bench.ground import Ground
from bench.ledger import call_of, row_of, servers
from bench.report import Line, Report, at_most, percentile
from schemas.result import Result, Status
from store import tables
from store.database import Database, parse_url
from store.ledger.answers import moment
from store.migrate import migrate
from store.runs.tables import runs

BIG, TENANT, PROMPT, OTHER = "run_big", "default", "summarize", "classify"
PAGES = 200
LIMIT = 50
_AT_ONCE = 5_000
_DAY_S = 86_400.0
_WAITS = 20
"""One item in so many waits."""
_REST_S = 1.1
_LOOKS = 60
_SHARE = 100
"""One call in so many is of the prompt whose calls are looked at, and one item in so many has failed."""
LISTS = {
    "runs": "/v1/runs",
    "items of a run": f"/v1/runs/{BIG}/items",
    "items of a run that failed": f"/v1/runs/{BIG}/items?status=failed",
    "requests": "/v1/requests",
    "requests that failed": "/v1/requests?state=failed",
    "calls of a prompt, by version": f"/v1/prompts/{PROMPT}/executions",
}
LOOKS = {"the live page": "/", "the queue": "/v1/queue"}
Figures = dict[tuple[str, str], list[float]]


async def measure(where: Ground, databases: Sequence[str], many: int) -> Report:
    """Each list of each database; milliseconds at the client, and one connection."""
    found: Figures = defaultdict(list)
    for side in databases:
        url = await ground.fresh_database(where, side)
        began = time.perf_counter()
        await _filled(url, many)
        found[side, "filled"].append(time.perf_counter() - began)
        port = free_port()
        environment = where.environment() | {"GENAI_DATABASE_URL": url, "GENAI_DATA_DIR": str(where.folder)}
        environment |= {"GENAI_API_PORT": str(port), "GENAI_DEFAULT_PROVIDER": "fake"}
        with serving([sys.executable, "-m", "streams.cli", "web"], environment, port, "/ready", where.folder) as at:
            for name, path in LISTS.items():
                found[side, name] += _walked(at[1], path)
            for name, path in LOOKS.items():
                found[side, name] += _looked(at[1], path)
    lines = []
    for side in databases:
        for name in (*LISTS, *LOOKS):
            took = found[side, name]
            lines.append(Line(side, f"{name}: p50", "ms", [percentile(took, 0.5)]))
            lines.append(at_most(side, f"{name}: p95", "ms", [percentile(took, 0.95)], 50))
    notes = [f"{side}: filled in {found[side, 'filled'][0]:.0f} s" for side in databases]
    return Report("pages", f"pages of {LIMIT} at {many:,} runs, items and calls", lines, notes)


def _walked(base: str, path: str) -> list[float]:
    """Page after page; from the first one again where the list has ended. The first is asked once before, uncounted."""
    took: list[float] = []
    cursor: str | None = None
    with httpx.Client(base_url=base, timeout=120, trust_env=False) as client:
        for number in range(PAGES + 1):
            paged = {"limit": LIMIT} | ({} if cursor is None else {"cursor": cursor})
            asked = {} if path.endswith("/executions") else {name: str(value) for name, value in paged.items()}
            began = time.perf_counter()
            reply = client.get(path, params={**httpx.QueryParams(path.partition("?")[2]), **asked})
            seconds = time.perf_counter() - began
            if reply.status_code != httpx.codes.OK:
                raise RuntimeError(f"{path} answered {reply.status_code}: {reply.text[:500]}")
            if number:
                took.append(1000 * seconds)
            cursor = reply.json().get("next")
    return took


def _looked(base: str, path: str) -> list[float]:
    """Again and again, with rests in which what is known becomes old. The first two are not counted."""
    took: list[float] = []
    with httpx.Client(base_url=base, timeout=120, trust_env=False) as client:
        for _ in range(_LOOKS + 2):
            time.sleep(_REST_S)
            began = time.perf_counter()
            client.get(path).raise_for_status()
            took.append(1000 * (time.perf_counter() - began))
    return took[2:]


async def _filled(url: str, many: int) -> None:
    database = Database(parse_url(url))
    await migrate(database)
    await database.write(_fill_run)
    since = time.time() - _DAY_S
    fill_items = functools.partial(_fill_items, since=since, apart_s=_DAY_S / many)
    fills: tuple[Callable[..., None], ...] = (fill_items, _fill_runs)
    for start in range(0, many, _AT_ONCE):
        numbers = range(start + 1, min(start + _AT_ONCE, many) + 1)
        for fill in fills:
            await database.write(functools.partial(fill, numbers=numbers))
    await database.write(lambda conn: conn.execute(text("ANALYZE")))
    await database.aclose()


def _run(id_: str, at: float, total: int) -> dict[str, Any]:
    return {
        "tenant": TENANT,
        "id": id_,
        "kind": "workflow",
        "name": "batch_summarize",
        "operation": "summarize",
        "lane": 2,
        "status": "succeeded",
        "said": b'{"metadata":{},"options":{}}',
        "payload_hash": b"h" * 16,
        "total": total,
        "fed": total,
        "sealed": True,
        "cancelled": False,
        "succeeded": total,
        "created_at": at,
        "started_at": at,
        "ended_at": at + 1,
    }


def _fill_run(conn: Connection) -> None:
    conn.execute(insert(runs), [_run(BIG, 0.0, 1)])


def _fill_runs(conn: Connection, numbers: range) -> None:
    conn.execute(insert(runs), [_run(f"run_{uuid.UUID(int=n * 7_919).hex}", float(n), 1) for n in numbers])


def _fill_items(conn: Connection, numbers: range, since: float, apart_s: float) -> None:
    at = {n: since + n * apart_s for n in numbers}
    states = {n: _state(n) for n in numbers}
    conn.execute(insert(tables.requests), [_item(n, at[n], states[n]) for n in numbers])
    ended = [n for n in numbers if states[n] != "waiting"]
    conn.execute(
        insert(tables.results),
        [
            {
                "request_pk": n,
                "generation": 1,
                "status": states[n],
                "body": _body(f"{BIG}/{n}", states[n]),
                "completed_at": at[n] + 1,
            }
            for n in ended
        ],
    )
    conn.execute(insert(tables.executions), [_call(n, at[n]) for n in ended])


def _state(number: int) -> str:
    return "waiting" if number % _WAITS == 1 else "failed" if number % _SHARE == 0 else "succeeded"


def _item(number: int, at: float, state: str) -> dict[str, Any]:
    id_ = f"{BIG}/{number}"
    failed = {"error_type": "refused" if state == "failed" else None}
    waits = {"provider": "elsewhere", "completed_at": None} if state == "waiting" else {"completed_at": at + 1}
    return (
        row_of(number, state, id_)
        | failed
        | waits
        | {
            "tenant": TENANT,
            "run_id": BIG,
            "requested_at": at,
            "accepted_at": at,
        }
    )


def _call(number: int, at: float) -> dict[str, Any]:
    prompt = PROMPT if number % _SHARE == 0 else OTHER
    told = {"tenant": TENANT, "prompt": prompt, "prompt_version": 1, "latency_ms": number % 997}
    return call_of(number) | told | {"opened_at": at, "closed_at": at + 1}


@functools.cache
def _template(state: str) -> bytes:
    """Of a result; its id is put in."""
    at, ended = moment(time.time()), Status(state)
    output = {"summary": "x" * 200, "key_points": []} if state == "succeeded" else None
    told = Result(
        id="@", operation="summarize", status=ended, output=output, tenant=TENANT, requested_at=at, completed_at=at
    )
    return told.model_dump_json().encode()


def _body(id_: str, state: str) -> bytes:
    return _template(state).replace(b'"@"', f'"{id_}"'.encode(), 1)


async def main(databases: Sequence[str], *, many: int, console: Console) -> None:
    """Measures, shows and saves."""
    with servers(postgres="postgres" in databases) as (folder, postgres):
        found = await measure(Ground(folder, "", postgres), databases, many)
    command = f"python -m bench --only pages --many {many}"
    report.show(found, command, console)
    report.save(found, command)
