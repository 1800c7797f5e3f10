"""`requests list|show|watch`: the ledger, read beside whoever works on it."""

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from store.database import Database
    from store.ledger.pages import Wanted
    from streams.settings import Settings

app = typer.Typer(help="Requests in the ledger: what waits, what runs, how it ended.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="JSON, for a program.")]
_State = Annotated[
    str | None,
    typer.Option(
        "--state", "-s", help="Some of unfinished, finished, waiting, leased, calling, held, failed, …; by commas."
    ),
]
Operation = Annotated[str | None, typer.Option("--operation", "-o", help="Only this operation.")]
Tenant = Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant.")]
_Lane = Annotated[str | None, typer.Option("--lane", help="realtime, normal or batch.")]
Run = Annotated[str | None, typer.Option("--run", help="Only this run.")]
_AT_ONCE = 500


@app.command("list")
def list_(
    state: _State = None,
    operation: Operation = None,
    tenant: Tenant = None,
    lane: _Lane = None,
    run: Run = None,
    first: Annotated[str | None, typer.Option("--from", help="A UTC day, or a moment with its zone.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="A UTC day (included), or a moment.")] = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many of the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Print requests, newest first.

    Example: genai-spine requests list --state failed --from 2026-11-20
    """
    import asyncio

    from streams import postgres, settings

    wanted = wished(state, operation, tenant, lane, run, first, last)
    found = asyncio.run(_list(postgres.resolved(settings.load()), wanted, number))
    if as_json:
        for item in found:
            typer.echo(json.dumps(item, ensure_ascii=False))
        return
    _print(found)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")],
    operation: Operation = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Print one request: where it stands or how it ended, and each of its calls.

    Example: genai-spine requests show feed-42/7 --operation summarize
    """
    import asyncio

    from streams import postgres, settings

    found = asyncio.run(_show(postgres.resolved(settings.load()), id_, tenant, operation))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    _print_one(found)


@app.command()
def watch(
    state: _State = None,
    operation: Operation = None,
    tenant: Tenant = None,
    lane: _Lane = None,
    run: Run = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=_AT_ONCE, help="How many of the newest.")] = 20,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Print a line for each of the newest requests whenever its state changes; until Ctrl-C.

    Example: genai-spine requests watch --run nightly
    """
    import asyncio

    from streams import postgres, settings

    wanted = wished(state, operation, tenant, lane, run, None, None)
    try:
        asyncio.run(_watch(postgres.resolved(settings.load()), wanted, number, every, as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def wished(*told: str | None) -> "Wanted":
    from streams import requested
    from streams.errors import SpineError

    names = ("state", "operation", "tenant", "lane", "run_id", "from", "to")
    try:
        return requested.wanted(dict(zip(names, told, strict=True)))
    except ValueError as error:
        raise SpineError(str(error), exit_code=2) from None


async def _list(settings: "Settings", wanted: "Wanted", number: int) -> list[dict[str, Any]]:
    from streams import lookup

    async with lookup.opened(settings) as database:
        return [item async for item in newest(database, wanted, number)]


async def newest(database: "Database", wanted: "Wanted", number: int) -> "AsyncIterator[dict[str, Any]]":
    """Page by page: a page may be shorter than what there is."""
    from store.ledger import pages
    from streams.web.showing import item

    after, left = None, number
    while left:
        found = await database.read(partial(pages.page, wanted=wanted, after=after, limit=min(left, _AT_ONCE)))
        for row in found.rows:
            yield item(row)
        left -= len(found.rows)
        after = found.next
        if after is None:
            return


async def found_one(
    database: "Database", settings: "Settings", id_: str, tenant: str | None, operation: str | None
) -> Any:
    """The request that is meant. Raises SpineError when there is none, or more than one."""
    from streams.errors import SpineError
    from streams.finding import named

    found = await database.read(lambda conn: named(conn, settings, id_, tenant, operation))
    if not found:
        raise SpineError(f"No request has the id {id_!r}. Is its tenant a rare one? Then add --tenant.")
    if len(found) > 1:
        raise SpineError(f"Several requests have the id {id_!r}: add --tenant and --operation.", exit_code=2)
    return found[0]


async def _show(settings: "Settings", id_: str, tenant: str | None, operation: str | None) -> dict[str, Any]:
    from store.ledger import pages
    from streams import lookup, requested
    from streams.commands.queue import place_of
    from streams.web import showing

    async with lookup.opened(settings) as database:
        row = await found_one(database, settings, id_, tenant, operation)
        calls = await database.read(lambda conn: pages.calls_of(conn, row.pk))
        unfinished_yet = row.state in requested.UNFINISHED
        place = await place_of(database, settings, row) if unfinished_yet else None
    listed = [showing.call(each) for each in calls]
    if row.body is None and not unfinished_yet:
        return showing.item(row) | {"answer": "no longer kept (GENAI_KEEP_BODIES_DAYS)", "calls": listed}
    if row.body is None:
        import time

        return showing.unfinished(row, time.time()) | {"queue": place, "calls": listed}
    body: dict[str, Any] = json.loads(showing.with_calls(row.body, listed))
    return body


async def _watch(settings: "Settings", wanted: "Wanted", number: int, every_s: float, as_json: bool) -> None:
    import asyncio

    from streams import lookup

    known: dict[tuple[str, str, str], tuple[str, int, int]] = {}
    async with lookup.opened(settings) as database:
        while True:
            now = [item async for item in newest(database, wanted, number)]
            for item in reversed(now):
                key = (item["tenant"], item["operation"], item["request_id"])
                stands = (item["state"], item["generation"], item["attempts"])
                if known.get(key) != stands:
                    _print_change(item, as_json)
                known[key] = stands
            current = {(item["tenant"], item["operation"], item["request_id"]) for item in now}
            known = {key: stands for key, stands in known.items() if key in current}
            await asyncio.sleep(every_s)


def _print_change(item: dict[str, Any], as_json: bool) -> None:
    import sys

    from streams.showing import plain

    if as_json:
        typer.echo(json.dumps(item, ensure_ascii=False))
    else:
        again = f" attempt {item['attempts']}" if item["attempts"] > 1 else ""
        why = f" {item['error_type']}" if item["error_type"] else ""
        typer.echo(f"{item['state']:<9} {item['operation']:<9} {plain(item['request_id'])}{again}{why}")
    sys.stdout.flush()


def _print(found: list[dict[str, Any]]) -> None:
    from rich.console import Console

    from streams.showing import plain
    from streams.tabling import Row, listed

    rows = [
        Row(
            {
                "id": plain(item["request_id"]),
                "state": item["error_type"] or item["state"],
                "operation": item["operation"],
                "lane": item["lane"],
                "tenant": plain(item["tenant"]),
                "accepted": item["accepted_at"][:19].replace("T", " "),
                "took": "" if item["took_s"] is None else f"{item['took_s']:.1f} s",
            }
        )
        for item in found
    ]
    console = Console(highlight=False)
    console.print(listed(rows, console.width))


def _print_one(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from streams.showing import answer, plain
    from streams.tabling import Row, listed

    console = Console(highlight=False)
    told = {"id": found.get("id") or found.get("request_id"), "state": found.get("state") or found["status"]}
    told |= {
        name: found.get(name) for name in ("operation", "tenant", "lane", "provider", "model", "attempts", "run_id")
    }
    told |= {"cost": found["usage"]["cost_usd"] if "usage" in found else None, "requested": found["requested_at"]}
    told |= {"answer": found.get("answer")}
    for name, value in told.items():
        if value is not None:
            console.print(Text(f"{name:<10} {plain(str(value))}", overflow="fold"))
    if "queue" in found:
        from streams.commands.queue import words

        console.print(Text(f"queue      {plain(words(found['queue']))}", overflow="fold"))
    if "usage" in found:
        console.print(Text(f"answer     {plain(answer(found, 2000))}", overflow="fold"))
    rows = [
        Row(
            {
                "call": f"{each['generation']}.{each['number']}",
                "outcome": (each["error"] or {}).get("type") or each["outcome"],
                "node": plain(each["node"]),
                "in": str(each["input_tokens"]),
                "out": str(each["output_tokens"]),
                "dollars": each["cost_usd"] or "unpriced",
                "ms": str(each["latency_ms"]),
            }
        )
        for each in found["calls"]
    ]
    if rows:
        console.print()
        console.print(listed(rows, console.width))
