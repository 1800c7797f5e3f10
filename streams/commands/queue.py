"""`queue`: what waits in Kafka and in the ledger, how fast it is answered, and when it will be."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from store.database import Database
    from streams.queueing import Wanted
    from streams.settings import Settings

_FIGURES = ("in_kafka", "waiting", "delayed", "running", "held")


def queue(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only the place of this request.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="Only this provider.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Only this model.")] = None,
    lane: Annotated[str | None, typer.Option("--lane", help="realtime, normal or batch.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant.")] = None,
    operation: Annotated[str | None, typer.Option("--operation", "-o", help="Of the request named by ID.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON, for a program; with --watch an object a line.")
    ] = False,
) -> None:
    """Print what waits by lane and by model, the measured rate, and until when one that comes now, and all, is answered.

    Example: genai-spine queue --lane batch --watch
    """
    import asyncio

    from streams import postgres, queueing, settings
    from streams.errors import SpineError

    told = {"provider": provider, "model": model, "lane": lane, "tenant": tenant}
    if operation is not None and id_ is None:
        raise SpineError("--operation says which request an ID means; name the ID before it.", exit_code=2)
    try:
        wanted = queueing.wanted(told)
    except ValueError as error:
        raise SpineError(str(error), exit_code=2) from None
    chosen = postgres.resolved(settings.load())
    try:
        if id_ is not None:
            asyncio.run(_one(chosen, id_, tenant, operation, as_json))
        else:
            asyncio.run(_look(chosen, wanted, every if watch else None, as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _look(settings: "Settings", wanted: "Wanted", every_s: float | None, as_json: bool) -> None:
    import asyncio

    from streams import lookup, queueing
    from streams.web.looker import Looker

    looker = Looker(settings)
    async with lookup.opened(settings) as database:
        while True:
            found = queueing.report(await looker.backlog(database), await looker.lag(), wanted)
            _print(found, as_json, again=every_s is not None)
            if every_s is None:
                return
            await asyncio.sleep(every_s)


async def _one(settings: "Settings", id_: str, tenant: str | None, operation: str | None, as_json: bool) -> None:
    from streams import lookup
    from streams.commands.requests import found_one
    from streams.errors import SpineError
    from streams.showing import plain
    from streams.web.showing import ended

    async with lookup.opened(settings) as database:
        row = await found_one(database, settings, id_, tenant, operation)
        if row.body is not None:
            raise SpineError(plain(ended(id_, row.state)))
        place = await place_of(database, settings, row)
    if as_json:
        typer.echo(json.dumps({"request_id": id_, "state": row.state, **place}))
    else:
        typer.echo(words(place))


async def place_of(database: "Database", settings: "Settings", row: Any) -> dict[str, Any]:
    """Position and estimate of an unfinished request."""
    from streams.web.looker import Looker

    return await Looker(settings).place(database, row)


def words(place: dict[str, Any]) -> str:
    """A place as a line."""
    where = {None: "no place", 0: "runs now"}.get(place["position"], f"number {place['position']}")
    return f"{where}, {_until(place['eta_s'])}" if not place["why"] else f"{where}; when is not known: {place['why']}"


def _until(seconds: float | None) -> str:
    return "when is not known" if seconds is None else f"answered in about {_span(seconds)}"


def _span(seconds: float) -> str:
    """Two figures are enough for an estimate."""
    for unit, many in (("s", 120), ("min", 7200), ("h", 172_800)):
        if seconds < many:
            return f"{seconds / {'s': 1, 'min': 60, 'h': 3600}[unit]:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _print(found: dict[str, Any], as_json: bool, *, again: bool) -> None:
    import sys

    if as_json:
        typer.echo(json.dumps(found))
        sys.stdout.flush()
        return
    from rich.console import Console

    from streams.showing import plain
    from streams.tabling import Row, listed

    console = Console(highlight=False)
    if again:
        console.clear()
        console.print(found["at"][:19].replace("T", " "))
    rows = [Row({"lane": lane["lane"], **_cells(lane), "new one": _cell(lane["eta_s"])}) for lane in found["lanes"]]
    if len(rows) > 1:
        rows.append(Row({"lane": "all", **_cells(found["all"]), "new one": ""}))
    console.print(listed(rows, console.width))
    if found["pools"]:
        console.print()
        console.print(listed([Row(_pool(pool)) for pool in found["pools"]], console.width))
    if found["kafka"]["why"]:
        console.print(plain(f"In Kafka: not known, {found['kafka']['why']}."))


def _cells(lane: dict[str, Any]) -> dict[str, str]:
    figures = {name.replace("_", " "): "?" if lane[name] is None else str(lane[name]) for name in _FIGURES}
    rate = "?" if lane["rate_per_s"] is None else f"{lane['rate_per_s']:.3g}/s"
    return {**figures, "oldest": _cell(lane["oldest_s"], ""), "rate": rate, "all done": _cell(lane["done_s"])}


def _cell(seconds: float | None, otherwise: str = "?") -> str:
    return otherwise if seconds is None else _span(seconds)


def _pool(pool: dict[str, Any]) -> dict[str, str]:
    from streams.showing import plain

    return {
        "model": plain(pool["model"]),
        "provider": plain(pool["provider"]),
        "slots": f"{pool['running']} of {pool['slots']}",
        "can do": "?" if pool["rate_per_s"] is None else f"{pool['rate_per_s']:.3g}/s",
        "a call": _cell(pool["call_s"]),
        "waiting": str(sum(lane["waiting"] + lane["delayed"] for lane in pool["lanes"])),
    }
