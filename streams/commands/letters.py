"""`dlq list|show|replay`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.dlq import Letter

app = typer.Typer(
    help="Dead letters: requests that failed and that another try, or a human, may mend.", no_args_is_help=True
)

_Json = Annotated[bool, typer.Option("--json", help="JSON, for a program.")]
_Type = Annotated[str | None, typer.Option("--type", help="Only those with this error type.")]
_HOPELESS = "invalid_request"


@app.command("list")
def list_(error_type: _Type = None, as_json: _Json = False) -> None:
    """Print the dead letters, oldest first.

    Example: `genai-spine dlq list --type rate_limited`
    """
    found = [letter for letter in _all() if error_type in {None, letter.header("genai-error-type")}]
    if as_json:
        for letter in found:
            typer.echo(json.dumps(letter.as_json(), ensure_ascii=False))
        return
    for letter in found:
        said = letter.header("genai-error")[:80]
        typer.echo(f"{letter.place:<9} {letter.header('genai-error-type'):<18} {letter.header('genai-source')}  {said}")
    typer.echo(f"{len(found)} dead letters." if found else "There are no dead letters.", err=True)


@app.command()
def show(
    place: Annotated[str, typer.Argument(help="PARTITION/OFFSET, as `list` prints it.")], as_json: _Json = False
) -> None:
    """Print one dead letter: its headers, then the untouched record.

    Example: `genai-spine dlq show 0/17`
    """
    import sys

    from streams.dlq import chosen

    (letter,) = chosen(_all(), [place])
    if as_json:
        typer.echo(json.dumps(letter.as_json(), ensure_ascii=False))
        return
    for name, value in letter.record.headers:
        typer.echo(f"{name}: {value.decode(errors='replace')}")
    typer.echo(f"key: {letter.record.key!r}\n")
    sys.stdout.flush()
    sys.stdout.buffer.write((letter.record.value or b"") + b"\n")


@app.command()
def replay(
    places: Annotated[list[str] | None, typer.Argument(help="PARTITION/OFFSET, one or many.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every one, except those that are no valid request.")] = False,
    error_type: _Type = None,
    as_json: _Json = False,
) -> None:
    """Send dead letters back to the topics they came from. One that has succeeded since costs nothing again.

    Example: `genai-spine dlq replay 0/17 0/18`
    """
    import asyncio

    from streams import dlq, settings, where
    from streams.errors import SpineError

    if bool(places) == bool(all_ or error_type):
        raise SpineError("Say which: places as `genai-spine dlq list` prints them, --type, or --all.", exit_code=2)
    found = _all()
    wanted = dlq.chosen(found, places) if places else [letter for letter in found if _fits(letter, error_type)]
    chosen = settings.load()
    sent = asyncio.run(dlq.replay(chosen, where.bootstrap(chosen), wanted))
    if as_json:
        typer.echo(json.dumps({"replayed": [{"place": letter.place, "topic": topic} for letter, topic in sent]}))
        return
    for letter, topic in sent:
        typer.echo(f"{letter.place} sent to {topic}.")
    typer.echo(f"{len(sent)} of {len(found)} dead letters replayed.", err=True)


def _fits(letter: "Letter", error_type: str | None) -> bool:
    kind = letter.header("genai-error-type")
    return kind == error_type if error_type else kind != _HOPELESS


def _all() -> "list[Letter]":
    import asyncio

    from streams import dlq, settings, where

    return asyncio.run(dlq.letters(where.bootstrap(settings.load())))
