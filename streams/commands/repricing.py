"""`costs reprice`: calls priced anew, and the differences booked."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.settings import Settings


def reprice(
    first: Annotated[str | None, typer.Option("--from", help="A UTC day, YYYY-MM-DD; default: 29 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="A UTC day, included; default: today.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", help="Only calls to this provider.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only calls to this model.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="Book the differences, or only say what they are.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Price every call of the journal anew, by the prices of its day as they are known now.

    Nothing that is booked is changed: a difference is a usage event of its own, booked today. A second time there is none.

    Example: `genai-spine costs reprice --from 2026-11-01 --dry-run`
    """
    import asyncio

    from streams import postgres, settings

    told = asyncio.run(_reprice(postgres.resolved(settings.load()), (first, last), (provider, model), apply=apply))
    if as_json:
        typer.echo(json.dumps(told))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if told["items"]:
        console.print(_table(told))
    console.print(_words(told))


async def _reprice(
    settings: "Settings", days_: tuple[str | None, str | None], of: tuple[str | None, str | None], *, apply: bool
) -> dict[str, Any]:
    from store.ledger.corrections import Span
    from streams import days, lookup, repricing
    from streams.errors import SpineError
    from streams.providing import make_prices
    from streams.routing import make_routes

    try:
        span = Span(*days.span(*days_), *of)
    except ValueError as error:
        raise SpineError(str(error), exit_code=2) from None
    async with lookup.opened(settings) as database:
        routes = make_routes(settings, {})
        found = await repricing.reprice(database, routes, make_prices(settings), span, apply=apply)
    return found.told(span, applied=apply)


def _table(told: dict[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from streams.showing import plain

    made = Table(title=f"Calls from {told['from']} to {told['to']} (UTC days), priced anew", title_justify="left")
    for name in ("day", "provider", "model"):
        made.add_column(name, no_wrap=name == "day", overflow="fold")
    for name in ("calls", "changed", "unknown", "booked", "anew", "difference"):
        made.add_column(name, justify="right", no_wrap=True)
    for item in told["items"]:
        made.add_row(*(Text(plain(item[name])) for name in ("day", "provider", "model")), *_figures(item))
    made.add_section()
    made.add_row("all", "", "", *_figures(told["totals"]))
    return made


def _figures(row: dict[str, Any]) -> list[str]:
    return [str(row[name]) for name in ("calls", "changed", "unknown", "booked_usd", "anew_usd", "difference_usd")]


def _words(told: dict[str, Any]) -> str:
    totals = told["totals"]
    if not totals["calls"]:
        return "No call has ended in these days."
    if told["applied"]:
        return f"{told['corrected']} corrections booked: {totals['difference_usd']} dollars."
    if not totals["changed"]:
        return "Every call costs what is booked."
    return f"{totals['changed']} calls cost {totals['difference_usd']} dollars more than is booked; --apply books that."
