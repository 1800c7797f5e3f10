"""`costs`: the day's costs, and whether all books agree."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands import repricing

if TYPE_CHECKING:
    from streams.settings import Settings


app = typer.Typer(invoke_without_command=True)
app.command()(repricing.reprice)


@app.callback()
def costs(
    asked: typer.Context,
    first: Annotated[str | None, typer.Option("--from", help="A UTC day, YYYY-MM-DD; default: 29 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="A UTC day; default: today.")] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", help="Group by some of day, provider, model, tenant, operation, run; by commas."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare SQL, journal, usage topic and Faust table; exit code 1 if they differ."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Print what each day cost, from the ledger.

    Example: `genai-spine costs --by model,tenant --from 2026-11-01`
    """
    if asked.invoked_subcommand is not None:
        return
    import asyncio

    from streams import postgres, settings

    chosen = postgres.resolved(settings.load())
    if check:
        _check(chosen, as_json)
        return
    told = asyncio.run(_costs(chosen, first, last, by))
    if as_json:
        typer.echo(json.dumps(told))
        return
    from rich.console import Console

    from streams.tabling import NARROW

    console = Console(highlight=False)
    console.print(table(told) if console.width >= NARROW else blocks(told))
    if "whole_from" in told:
        console.print(f"Calls before {told['whole_from']} are no longer kept one by one (GENAI_KEEP_JOURNAL_DAYS).")


async def _costs(settings: "Settings", first: str | None, last: str | None, by: str | None) -> dict[str, Any]:
    from store.ledger import books, queries, room
    from streams import bookkeeping, days, lookup
    from streams.errors import SpineError

    try:
        start, end = days.span(first, last)
        groups = bookkeeping.groups(by) if by is not None else ()
        async with lookup.opened(settings) as database:
            if not groups:
                found = await database.read(lambda conn: queries.days(conn, str(start), str(end)))
                return bookkeeping.daily(found, start, end)
            most = bookkeeping.MOST + 1
            found = await database.read(lambda conn: books.costs_by(conn, groups, start, end, most))
            marks = await database.read(room.marks) if books.reads_journal(groups) else {}
        return bookkeeping.grouped(groups, found, start, end, marks.get("journal"))
    except ValueError as error:
        raise SpineError(str(error), exit_code=2) from None


def table(told: dict[str, Any]) -> Any:
    """The days, or the groups, as a table for people."""
    from rich.table import Table
    from rich.text import Text

    from streams.showing import plain

    names, rows = _rows(told)
    made = Table(title=f"Costs from {told['from']} to {told['to']} (UTC days)", title_justify="left")
    for name in names:
        made.add_column(name, no_wrap=name == "day", overflow="fold")
    for name in ("calls", "in", "out", "dollars"):
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(plain(row[name] or "-")) for name in names), *_figures(row))
    made.add_section()
    made.add_row("all", *[""] * (len(names) - 1), *_figures(told["totals"]))
    return made


def blocks(told: dict[str, Any]) -> Any:
    """The same for a narrow terminal."""
    from streams.showing import plain
    from streams.tabling import Row, listed

    names, rows = _rows(told)
    figures = ("calls", "in", "out", "dollars")
    found = [
        Row(
            {"name": " ".join(plain(row[name] or "-") for name in names)}
            | dict(zip(figures, _figures(row), strict=True))
        )
        for row in rows
    ]
    whole = {"name": f"all, {told['from']} to {told['to']} (UTC)"}
    totals = Row(whole | dict(zip(figures, _figures(told["totals"]), strict=True)))
    return listed([*found, totals], 0)


def _rows(told: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """What names a row, and the rows: those of the days, or of the groups asked for."""
    if "by" in told:
        return told["by"].split(","), told["items"]
    return ["day", "provider", "model", "tenant"], [{"day": day["date"], **day} for day in told["days"]]


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    unpriced = f" (+{row['unpriced_calls']} unpriced)" if row["unpriced_calls"] else ""
    return str(row["calls"]), str(row["input_tokens"]), str(row["output_tokens"]), f"{row['cost_usd']}{unpriced}"


def _check(settings: "Settings", as_json: bool) -> None:
    import asyncio

    from schemas.money import to_usd
    from streams import where
    from streams.audit import audit, differences
    from streams.showing import plain

    made = asyncio.run(audit(settings, where.bootstrap(settings)))
    found = differences(made)
    sums = {name: to_usd(sum(book.values())) for name, book in made.books.items()}
    if as_json:
        told = {"ok": not found, "sums": sums, "differences": found, "books": made.books, "whole_from": made.whole_from}
        typer.echo(json.dumps(told))
    else:
        for name, dollars in sums.items():
            kept = f", whole from {made.whole_from[name]} on" if name in made.whole_from else ""
            typer.echo(f"{name:<12} {dollars} dollars{kept}")
        for words in found:
            typer.echo(plain(words))
        agree = (
            "All four books agree."
            if not made.whole_from
            else "All four books agree, on the days that they have whole."
        )
        typer.echo(f"{len(found)} differences." if found else agree)
    if found:
        raise typer.Exit(1)
