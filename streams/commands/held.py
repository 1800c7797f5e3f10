"""`held list|show|retry|drop`: requests that ask a human before a call that may have been paid is made again."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands.requests import Json, Operation, Run, Tenant, newest, wished
from streams.errors import Exit

if TYPE_CHECKING:
    from streams.deciding import Named, Word
    from streams.settings import Settings

app = typer.Typer(
    help="Requests that wait for a human: a paid call broke off, and on_ambiguous is hold.", no_args_is_help=True
)

_Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The requests' ids.")]
_All = Annotated[bool, typer.Option("--all", help="Every held one that the options name, instead of ids.")]
_AT_ONCE = 500


@app.command("list")
def list_(
    operation: Operation = None,
    tenant: Tenant = None,
    run: Run = None,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many of the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Print held requests, newest first.

    Example: genai-spine held list --tenant feedspine
    """
    from streams.commands.requests import list_ as requests

    requests("held", operation, tenant, None, run, None, None, number, as_json)


@app.command()
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The request's id.")],
    operation: Operation = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Print one request and its calls: how the last one broke off, and what it may have cost.

    Example: genai-spine held show feed-42/7
    """
    from streams.commands.requests import show as request

    request(id_, operation, tenant, as_json)


@app.command()
def retry(
    ids: _Ids = None,
    operation: Operation = None,
    tenant: Tenant = None,
    run: Run = None,
    all_: _All = False,
    as_json: Json = False,
) -> None:
    """Let held requests be tried again: the call that may have been paid is made, and perhaps paid, once more.

    Example: genai-spine held retry feed-42/7
    """
    _decide("retry", ids or [], operation, tenant, run, all_, as_json)


@app.command()
def drop(
    ids: _Ids = None,
    operation: Operation = None,
    tenant: Tenant = None,
    run: Run = None,
    all_: _All = False,
    as_json: Json = False,
) -> None:
    """End held requests as failed, ambiguous. What they cost stays booked; sent again, they run again.

    Example: genai-spine held drop --all --run nightly
    """
    _decide("drop", ids or [], operation, tenant, run, all_, as_json)


def _decide(
    word: "Word",
    ids: list[str],
    operation: str | None,
    tenant: str | None,
    run: str | None,
    all_: bool,
    as_json: bool,
) -> None:
    import asyncio

    from streams import postgres, settings
    from streams.errors import SpineError
    from streams.showing import plain

    if bool(ids) == all_ or (ids and run):
        raise SpineError(f"Name the requests (ID…), or {word} all that the options name (--all).", exit_code=Exit.USAGE)
    chosen = postgres.resolved(settings.load())
    told = asyncio.run(_in_ledger(chosen, word, ids, operation, tenant, run))
    for each in told:
        line = f"{each['operation'] or '?'} {each['request_id']}: {each['why']}"
        typer.echo(json.dumps(each, ensure_ascii=False) if as_json else plain(line))
    typer.echo(f"{sum(each['done'] for each in told)} of {len(told)}.", err=True)
    if not all(each["done"] for each in told):
        raise typer.Exit(Exit.FAILED)


async def _in_ledger(
    settings: "Settings", word: "Word", ids: list[str], operation: str | None, tenant: str | None, run: str | None
) -> list[dict[str, Any]]:
    from streams import lookup
    from streams.deciding import decide
    from streams.routing import make_routes

    routes = make_routes(settings, {})
    async with lookup.opened(settings) as database:
        if not ids:
            wanted = wished("held", operation, tenant, None, run, None, None)
            found = [item async for item in newest(database, wanted, 1 << 31)]
            named = [(item["tenant"], item["operation"], item["request_id"]) for item in found]
            told: list[dict[str, Any]] = []
        else:
            named, told = await database.read(lambda conn: _named(conn, settings, ids, tenant, operation))
        for start in range(0, len(named), _AT_ONCE):
            part = named[start : start + _AT_ONCE]
            told += await database.write(lambda conn, part=part: decide(conn, routes, word, part, "cli"))  # type: ignore[misc]
    return told


def _named(
    conn: Any, settings: "Settings", ids: list[str], tenant: str | None, operation: str | None
) -> "tuple[list[Named], list[dict[str, Any]]]":
    """Whose requests are meant, and what is said of ids that do not tell: a change guesses no tenant."""
    from streams.cancelling import operation_of

    whose = tenant or settings.default_tenant
    found: list[Named] = []
    unclear: list[dict[str, Any]] = []
    for id_ in dict.fromkeys(ids):
        known = [operation.replace("-", "_")] if operation else operation_of(conn, settings, id_, whose)
        if len(known) == 1:
            found.append((whose, known[0], id_))
            continue
        why = (
            f"several have this id, of {' and '.join(known)}: add --operation"
            if known
            else f"the tenant {whose!r} has no such request; if it is another's, add --tenant"
        )
        base = {"request_id": id_, "tenant": whose, "operation": None}
        unclear.append(base | {"done": False, "state": None, "why": why})
    return found, unclear
