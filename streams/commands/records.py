"""`submit` and `results`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.settings import Settings
    from streams.submit import Bad, Line

_Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for a program.")]


def submit(
    file: Annotated[str, typer.Argument(help="JSON Lines, one request a line; - reads standard input.")],
    operation: Annotated[str | None, typer.Option("--operation", "-o", help="For lines that name none.")] = None,
    lane: Annotated[str, typer.Option(help="realtime, normal or batch.")] = "normal",
    wait: Annotated[bool, typer.Option("--wait", help="Print each result; exit code 1 if any failed.")] = False,
    timeout: Annotated[float, typer.Option(help="With --wait: give up after so many seconds; 0: never.")] = 0.0,
    as_json: _Json = False,
) -> None:
    """Send requests to Kafka; sending the same ids again costs nothing."""
    import asyncio

    from streams import settings, where
    from streams.showing import plain

    chosen, into = settings.load(), _lane(lane)
    good, bad = _parsed(chosen, file, operation)
    for found in bad:
        typer.echo(f"Line {found.number} {plain(found.why)}.", err=True)
    bootstrap = where.bootstrap(chosen)
    failed = asyncio.run(_submit(chosen, bootstrap, good, into, wait, timeout, as_json))
    if failed or bad:
        raise typer.Exit(1)


def _parsed(settings: "Settings", file: str, operation: str | None) -> "tuple[list[Line], list[Bad]]":
    from agents import OPERATIONS
    from streams.submit import Bad, Line, parse

    found = list(parse(_lines(file), OPERATIONS, operation, settings.request_max_bytes))
    return [one for one in found if isinstance(one, Line)], [one for one in found if isinstance(one, Bad)]


def _lines(file: str) -> "Iterator[bytes]":
    import sys

    from streams.errors import SpineError

    if file == "-":
        yield from sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as lines:
            yield from lines
    except OSError as error:
        raise SpineError(f"Cannot read {file} ({error.strerror}). Name a file of JSON Lines, or - .") from error


def _lane(name: str) -> Any:
    from schemas.request import Lane
    from streams.errors import SpineError

    try:
        return Lane[name.upper()]
    except KeyError:
        raise SpineError(f"There is no lane {name!r}; choose realtime, normal or batch.", exit_code=2) from None


async def _submit(
    settings: "Settings", bootstrap: str, lines: "list[Line]", lane: Any, wait: bool, timeout_s: float, as_json: bool
) -> bool:
    """Whether anything failed, or did not come in time."""
    from streams.submit import results as coming
    from streams.submit import send

    sent = await send(settings, bootstrap, lines, lane)
    typer.echo(f"Sent {len(sent.identities)} records.", err=wait or as_json)
    if not wait:
        return False
    wanted = set(sent.identities.values())
    ended = failed = 0
    async for result in coming(bootstrap, wanted, sent.starts, timeout_s):
        ended += 1
        failed += result["status"] != "succeeded"
        _show(result, as_json)
    missing = len(wanted) - ended
    late = f", {missing} did not come within {timeout_s:g} s" if missing else ""
    typer.echo(f"{ended - failed} succeeded, {failed} did not{late}.", err=True)
    return bool(failed or missing)


def _show(result: dict[str, Any], as_json: bool) -> None:
    import sys

    import orjson

    from streams.showing import line

    typer.echo(orjson.dumps(result).decode() if as_json else line(result))
    sys.stdout.flush()


def results(
    number: Annotated[int, typer.Option("-n", "--number", min=0, help="How many of the latest.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new ones until Ctrl-C.")] = False,
    as_json: _Json = False,
) -> None:
    """Print the latest results from Kafka."""
    import asyncio

    from streams import settings, where

    asyncio.run(_results(where.bootstrap(settings.load()), number, follow, as_json))


async def _results(bootstrap: str, number: int, follow: bool, as_json: bool) -> None:
    import orjson

    from streams import reading, topics

    starts = await reading.ends(bootstrap, topics.RESULTS)
    records = await reading.whole(bootstrap, topics.RESULTS, last=number) if number else []
    found = [orjson.loads(record.value) for record in records if record.value is not None]
    found.sort(key=lambda result: str(result["completed_at"]))
    for result in found[-number:] if number else []:
        _show(result, as_json)
    if not follow:
        return
    async for record in reading.following(bootstrap, topics.RESULTS, starts):
        if record is not None and record.value is not None:
            _show(orjson.loads(record.value), as_json)
