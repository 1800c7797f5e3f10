"""`cancel`."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.errors import Exit

if TYPE_CHECKING:
    from streams.cancelling import Wish
    from streams.settings import Settings


def cancel(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The requests' ids.")] = None,
    operation: Annotated[
        str | None, typer.Option("--operation", "-o", help="Of these requests; needed for what is still to come.")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Whose they are, if not the default's.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="A whole run instead.")] = None,
    via: Annotated[
        Literal["auto", "ledger", "http", "kafka"], typer.Option(help="auto: the first of the three that is there.")
    ] = "auto",
    url: Annotated[str | None, typer.Option("--url", help="The API, for --via http.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for a program.")] = False,
) -> None:
    """Cancel requests, or a run. What runs is aborted; what it cost stays booked.

    Exit code 1 when something was not cancelled: it had ended, or its id does not say which one is meant.

    Example: genai-spine cancel feed-42/7 feed-42/8 --operation summarize
    """
    from streams import postgres, settings
    from streams.cancelling import WELL, line
    from streams.showing import plain

    wish = _wish(ids or [], operation, tenant, run)
    chosen = settings.load()
    way = "http" if url and via == "auto" else via
    if way in {"auto", "ledger"}:
        chosen = postgres.resolved(chosen)
    taken, found = _go(chosen, wish, way, url)
    if way == "auto" and taken != "ledger":
        typer.echo(f"There is no ledger here; it went by {taken}.", err=True)
    for each in found:
        typer.echo(json.dumps(each, ensure_ascii=False) if as_json else plain(line(each)))
    if any(each["cancel"] not in WELL for each in found):
        raise typer.Exit(Exit.FAILED)


def _wish(ids: list[str], operation: str | None, tenant: str | None, run: str | None) -> "Wish":
    from agents import OPERATIONS
    from streams.cancelling import Wish
    from streams.errors import SpineError

    if bool(ids) == bool(run):
        raise SpineError("Name either requests (ID…) or a run (--run RUN).", exit_code=Exit.USAGE)
    name = None if operation is None else operation.replace("-", "_")
    if name is not None and name not in OPERATIONS:
        known = ", ".join(sorted(OPERATIONS))
        raise SpineError(f"There is no operation {operation!r}; there are {known}.", exit_code=Exit.USAGE)
    try:
        return Wish(tuple(dict.fromkeys(ids)), tenant, name, run).checked()
    except ValueError as error:
        raise SpineError(str(error), exit_code=Exit.USAGE) from None


def _go(settings: "Settings", wish: "Wish", via: str, url: str | None) -> tuple[str, list[dict[str, Any]]]:
    """The way that was taken, and what was found."""
    import asyncio

    from store.errors import StoreError
    from streams import cancelling, where
    from streams.door import Nobody
    from streams.errors import SpineError
    from streams.lookup import NoLedger

    why: list[str] = []
    if via in {"auto", "ledger"}:
        try:
            return "ledger", asyncio.run(cancelling.through_ledger(settings, wish))
        except (NoLedger, StoreError) as error:
            _or_else(error, via, why)
    if via in {"auto", "http"}:
        try:
            return "HTTP", cancelling.through_http(settings, wish, url)
        except Nobody as error:
            _or_else(error, via, why)
    try:
        bootstrap = where.bootstrap(settings)
    except SpineError as error:
        _or_else(error, via, why)
        raise SpineError(f"Nothing was cancelled, since nothing is reachable. {' '.join(why)}") from error
    return "Kafka", asyncio.run(cancelling.through_kafka(bootstrap, settings, wish))


def _or_else(error: Exception, via: str, why: list[str]) -> None:
    """The next way, unless this one was asked for."""
    if via != "auto":
        raise error
    why.append(str(error))
