"""`ledger stats|prune|export`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from store.ledger.room import Keep
    from streams.settings import Settings

app = typer.Typer(
    help="The ledger: how large it is, what is old, and a copy of it as JSON Lines.", no_args_is_help=True
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")]


@app.command()
def stats(as_json: _Json = False) -> None:
    """Print every table with its rows and bytes, and what pruning would take away now.

    Example: genai-spine ledger stats
    """
    import asyncio

    from streams import postgres, settings

    told = asyncio.run(_stats(postgres.resolved(settings.load())))
    if as_json:
        typer.echo(json.dumps(told))
        return
    from rich.console import Console

    from streams.tabling import Row, listed

    console = Console(highlight=False)
    rows = [
        Row({"table": each["table"], "rows": f"{each['rows']:,}", "bytes": _bytes(each["bytes"])})
        for each in told["tables"]
    ]
    console.print(listed(rows, console.width))
    for line in _lines(told):
        typer.echo(line)


def _lines(told: dict[str, Any]) -> list[str]:
    found = []
    for kind, days in told["keep_days"].items():
        if days is None:
            found.append(f"{kind}: kept for ever")
        else:
            before = f"; gone before {told['gone_before'][kind]}" if kind in told["gone_before"] else ""
            found.append(f"{kind}: kept for {days:g} days, {told['prunable'][kind]:,} rows are older{before}")
    return found


def _bytes(taken: int | None) -> str:
    return "-" if taken is None else f"{taken / 1_000_000:,.1f} MB"


async def _stats(settings: "Settings") -> dict[str, Any]:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from store.ledger import room
    from streams import keeping, lookup

    keep = keeping.keep(settings)
    async with lookup.opened(settings) as database:
        tables = await database.read(room.sizes)
        prunable = await database.read(lambda conn: room.would_drop(conn, keep))
        marks = await database.read(room.marks)
    gone = {kind: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") for kind, at in marks.items()}
    return {
        "tables": [asdict(each) for each in tables],
        "keep_days": asdict(keep),
        "prunable": prunable,
        "gone_before": gone,
    }


@app.command()
def prune(
    bodies: Annotated[
        float | None,
        typer.Option("--bodies-days", min=0.0, help="Texts and answers, after their end; default: the setting."),
    ] = None,
    journal: Annotated[float | None, typer.Option("--journal-days", min=0.0, help="Calls, one by one.")] = None,
    positions: Annotated[
        float | None, typer.Option("--positions-days", min=0.0, help="What was decided of each record.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: _Json = False,
) -> None:
    """Take away what is old now, in small batches beside running workers; they do the same by themselves every five minutes.

    Identities, states and the day's costs stay. 0 days: kept for ever. See `ledger export` for a copy first.

    Example: genai-spine ledger prune --bodies-days 30 --dry-run
    """
    import asyncio

    from streams import keeping, postgres, settings

    chosen = postgres.resolved(settings.load())
    usual = keeping.keep(chosen)
    keep = type(usual)(
        usual.bodies if bodies is None else bodies or None,
        usual.journal if journal is None else journal or None,
        usual.positions if positions is None else positions or None,
    )
    gone = asyncio.run(_prune(chosen, keep, dry_run=dry_run))
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "rows": gone}))
        return
    for kind, count in gone.items():
        typer.echo(f"{kind}: {count:,} rows {'would go' if dry_run else 'are gone'}")
    if not gone:
        typer.echo("Everything is kept for ever; nothing to do.")


async def _prune(settings: "Settings", keep: "Keep", *, dry_run: bool) -> dict[str, int]:
    from agents.engine.pruner import prune as all_of_it
    from store.ledger import room
    from streams import lookup

    async with lookup.opened(settings) as database:
        if dry_run:
            return await database.read(lambda conn: room.would_drop(conn, keep))
        return await all_of_it(database, keep)


@app.command()
def export(
    first: Annotated[
        str | None, typer.Option("--from", help="Accepted on this UTC day or later, or a moment with its zone.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Accepted up to this day, or before this moment.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A file; default: standard output.")] = None,
) -> None:
    """Print each request with its text, its results and its calls as one line of JSON, oldest first.

    Example: genai-spine ledger export --to 2026-06-30 --out first-half.jsonl
    """
    import asyncio
    import sys

    from streams import days, postgres, settings
    from streams.errors import SpineError

    try:
        start, end = days.moments(first, last)
    except ValueError as error:
        raise SpineError(str(error), exit_code=2) from None
    chosen = postgres.resolved(settings.load())
    if out is None:
        count = asyncio.run(_export(chosen, start, end, tenant, sys.stdout.buffer))
    else:
        try:
            with out.open("xb") as file:
                count = asyncio.run(_export(chosen, start, end, tenant, file))
        except FileExistsError:
            raise SpineError(f"{out} is there already. Name another --out file.", exit_code=2) from None
        except OSError as error:
            raise SpineError(f"Cannot write {out} ({error.strerror}). Name another --out file.") from error
    typer.echo(f"{count:,} requests.", err=True)


async def _export(settings: "Settings", start: float | None, end: float | None, tenant: str | None, file: Any) -> int:
    from streams import lookup
    from streams.exporting import lines

    count = 0
    async with lookup.opened(settings) as database:
        async for line in lines(database, start, end, tenant):
            file.write(line + b"\n")
            count += 1
    file.flush()
    return count
