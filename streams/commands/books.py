"""`costs`: the day's costs, and whether all books agree."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.settings import Settings


def costs(
    first: Annotated[str | None, typer.Option("--from", help="A UTC day, YYYY-MM-DD; default: 29 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="A UTC day; default: today.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare SQL, journal, usage topic and Faust table; exit code 1 if they differ."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Print what each day cost, from the ledger.

    Example: `genai-spine costs --from 2026-11-01 --json`
    """
    import asyncio

    from streams import postgres, settings

    chosen = postgres.resolved(settings.load())
    if check:
        _check(chosen, as_json)
        return
    told = asyncio.run(_costs(chosen, first, last))
    if as_json:
        typer.echo(json.dumps(told))
        return
    from rich.console import Console

    Console().print(table(told))


async def _costs(settings: "Settings", first: str | None, last: str | None) -> dict[str, Any]:
    from store.ledger import queries
    from streams import waiting
    from streams.errors import SpineError
    from streams.web.looking import costs_told, span

    try:
        start, end = span(first, last)
    except ValueError as error:
        raise SpineError(str(error), exit_code=2) from None
    async with waiting.ledger(settings) as database:
        found = await database.read(lambda conn: queries.days(conn, str(start), str(end)))
    return costs_told(found, start, end)


def table(told: dict[str, Any]) -> Any:
    """The days as a table for people."""
    from rich.table import Table

    made = Table(title=f"Costs from {told['from']} to {told['to']} (UTC days)", title_justify="left")
    made.add_column("day", no_wrap=True)
    for name in ("provider", "model", "tenant"):
        made.add_column(name, overflow="fold")
    for name in ("calls", "in", "out", "dollars"):
        made.add_column(name, justify="right", no_wrap=True)
    for day in told["days"]:
        names = (day["date"], day["provider"], day["model"], day["tenant"])
        made.add_row(*names, *_figures(day))
    made.add_section()
    made.add_row("all", "", "", "", *_figures(told["totals"]))
    return made


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    unpriced = f" (+{row['unpriced_calls']} unpriced)" if row["unpriced_calls"] else ""
    return str(row["calls"]), str(row["input_tokens"]), str(row["output_tokens"]), f"{row['cost_usd']}{unpriced}"


def _check(settings: "Settings", as_json: bool) -> None:
    import asyncio

    from schemas.money import to_usd
    from streams import where
    from streams.audit import audit, differences

    books = asyncio.run(audit(settings, where.bootstrap(settings)))
    found = differences(books)
    sums = {name: to_usd(sum(book.values())) for name, book in books.items()}
    if as_json:
        typer.echo(json.dumps({"ok": not found, "sums": sums, "differences": found, "books": books}))
    else:
        for name, dollars in sums.items():
            typer.echo(f"{name:<12} {dollars} dollars")
        for words in found:
            typer.echo(words)
        typer.echo(f"{len(found)} differences." if found else "All four books agree.")
    if found:
        raise typer.Exit(1)
