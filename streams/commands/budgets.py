"""`budgets set|list|show|remove|history`: how much may be spent, by whom, in what time."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.errors import Exit

if TYPE_CHECKING:
    from store.database import Database
    from streams.settings import Settings

app = typer.Typer(
    help="How much may be spent: per tenant, key, model and run, in a day, a month or in total.", no_args_is_help=True
)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
_Id = Annotated[int, typer.Argument(metavar="BUDGET", min=1, help="Its number, as `budgets list` shows it.")]
_WIDE = 110
_SHOWN = ("id", "whose", "per", "limit", "spent", "reserved", "left", "resets at")


@app.command("set")
def set_(
    limit: Annotated[str, typer.Option("--limit", help="Dollars, such as 12.50; 0 lets only free models through.")],
    per: Annotated[str, typer.Option("--per", help="day, month (both UTC) or total.")] = "month",
    tenant: Annotated[str | None, typer.Option("--tenant", help="Costs of this tenant.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Costs of this key, by its id.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Of this provider/model, or provider/*.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Of this run, of the tenant or the default one.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All costs.")] = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="Count only, and let everything pass.")] = False,
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="Let calls pass that nothing prices; they count as nothing.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Make a budget, or change the one of the same scope and period. It holds from the next request on.

    Example: genai-spine budgets set --tenant feedspine --limit 25 --per month
    """
    from pydantic import ValidationError

    from streams import budgets
    from streams.decode import sentence
    from streams.errors import SpineError

    named = {"tenant": tenant, "key": key, "model": model, "run": run, "everything": everything}
    asked = named | {"limit_usd": limit, "per": per, "hard": not shadow, "allow_unpriced": allow_unpriced}
    try:
        wanted = budgets.Budget.model_validate(asked)
    except ValidationError as error:
        raise SpineError(f"{sentence(error)}.", exit_code=Exit.USAGE) from None

    async def work(database: "Database", settings: "Settings") -> dict[str, Any]:
        return budgets.told(await budgets.put(database, wanted.wanted(settings.default_tenant), "cli"))

    found = _in_ledger(work)
    _print([found], as_json, one=True)


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """Print every budget as it stands.

    Example: genai-spine budgets list
    """
    from store.ledger import budgets as ledger
    from streams import budgets

    async def work(database: "Database", _settings: "Settings") -> list[dict[str, Any]]:
        return [budgets.told(state) for state in await database.read(ledger.standing)]

    found = _in_ledger(work)
    if not found and not as_json:
        typer.echo("There are no budgets; `genai-spine budgets set` makes one.")
        return
    _print(found, as_json)


@app.command()
def show(budget: _Id, as_json: _Json = False) -> None:
    """Print one budget, with all that is counted of it.

    Example: genai-spine budgets show 1
    """
    found, _ = _one(budget)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for name, value in found.items():
        typer.echo(_plain(f"{name:<15} {'-' if value is None else value}"))


@app.command()
def history(budget: _Id, as_json: _Json = False) -> None:
    """Print when a budget was set, how its periods ended, and when half, four fifths and all of it were spent.

    Example: genai-spine budgets history 1
    """
    _, found = _one(budget)
    for each in found:
        if as_json:
            typer.echo(json.dumps(each, ensure_ascii=False))
        else:
            money = f"{each['spent_usd']} of {each['limit_usd']} dollars spent, {each['reserved_usd']} reserved"
            who = f" ({each['who']})" if each["who"] else ""
            typer.echo(_plain(f"{each['at']}  {each['event']:<8} {money}, {each['refused']} refused{who}"))


@app.command()
def remove(budget: _Id, as_json: _Json = False) -> None:
    """Remove a budget: from the next request on it concerns none. Its history stays.

    Example: genai-spine budgets remove 1
    """
    from streams import budgets

    async def work(database: "Database", _settings: "Settings") -> dict[str, Any] | None:
        gone = await budgets.remove(database, budget, "cli")
        return None if gone is None else budgets.told(gone) | {"removed": True}

    found = _in_ledger(work)
    if found is None:
        raise _missing(budget)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else f"Removed the budget {budget} ({_whose(found)}).")


def _one(id_: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from store.ledger import budgets as ledger
    from streams import budgets

    async def work(database: "Database", _settings: "Settings") -> tuple[Any, Any]:
        return await database.read(lambda conn: (ledger.standing(conn, id_), ledger.history(conn, id_, 1000)))

    found, lines = _in_ledger(work)
    if not found:
        raise _missing(id_)
    return budgets.told(found[0]), [budgets.line(row) for row in lines]


def _missing(id_: int) -> Exception:
    from streams.errors import SpineError

    return SpineError(f"There is no budget {id_}; `genai-spine budgets list` shows those that there are.")


def _in_ledger(work: "Callable[[Database, Settings], Awaitable[Any]]") -> Any:
    import asyncio

    from streams import lookup, postgres, settings

    chosen = postgres.resolved(settings.load())

    async def run() -> Any:
        async with lookup.opened(chosen) as database:
            return await work(database, chosen)

    return asyncio.run(run())


def _print(found: list[dict[str, Any]], as_json: bool, *, one: bool = False) -> None:
    if as_json:
        typer.echo(json.dumps(found[0] if one else {"items": found}, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from streams.tabling import Row, listed

    rows = [_row(each) for each in found]
    console = Console(highlight=False)
    if console.width < _WIDE:
        console.print(listed([Row({"name": f"{row['id']} {row['whose']}", **row}) for row in rows], 0))
        return
    table = Table()
    for name in _SHOWN:
        table.add_column(name, no_wrap=name != "whose", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in _SHOWN))
    console.print(table)


def _row(each: dict[str, Any]) -> dict[str, str]:
    kind = "" if each["hard"] else " (shadow)"
    money = {name: each[f"{name}_usd"] for name in ("limit", "spent", "reserved", "left")}
    shown = {"id": str(each["id"]), "whose": _plain(_whose(each)), "per": f"{each['per']}{kind}"}
    return shown | money | {"resets at": each["resets_at"] or "-"}


def _whose(each: dict[str, Any]) -> str:
    named = [f"{name} {each[name]}" for name in ("tenant", "key", "model", "run") if each[name]]
    return ", ".join(named) or "everything"


def _plain(text: str) -> str:
    from streams.showing import plain

    return plain(text)
