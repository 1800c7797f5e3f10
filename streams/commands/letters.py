"""`dlq list|show|replay`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.dlq import Letter, Now

app = typer.Typer(
    help="Dead letters: requests that failed and that another try, or a human, may mend.", no_args_is_help=True
)

_Json = Annotated[bool, typer.Option("--json", help="JSON, for a program.")]
_Type = Annotated[str | None, typer.Option("--type", help="Only those with this error type.")]
_All = Annotated[bool, typer.Option("--all", help="Also those that were answered since, run again or died again.")]
_HOPELESS = "invalid_request"


@app.command("list")
def list_(error_type: _Type = None, all_: _All = False, as_json: _Json = False) -> None:
    """Print the dead letters, oldest first: those whose request has neither succeeded since nor runs again.

    Example: `genai-spine dlq list --type rate_limited`
    """
    everything = _all()
    now = _now(everything)
    of_type = [letter for letter in everything if error_type in {None, letter.header("genai-error-type")}]
    found = [letter for letter in of_type if all_ or now[letter.place] == "open"]
    for letter in map(_shown, found):
        if as_json:
            typer.echo(json.dumps({**letter.as_json(), "now": now[letter.place]}, ensure_ascii=False))
        else:
            typer.echo(f"{now[letter.place]:<9} {line(letter)}" if all_ else line(letter))
    _tell_rest(len(found), len(of_type))


def _tell_rest(shown: int, of: int) -> None:
    none = "No dead letter is open." if of else "There are no dead letters."
    typer.echo(f"{shown} dead letters." if shown else none, err=True)
    if shown < of:
        words = "were answered since, run again, or died again as a newer letter; --all shows them"
        typer.echo(f"{of - shown} more {words}.", err=True)


@app.command()
def show(
    place: Annotated[str, typer.Argument(help="PARTITION/OFFSET, as `list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the record's value, byte for byte, for a file.")] = False,
    as_json: _Json = False,
) -> None:
    """Print one dead letter: its headers, then its record. Control characters are written out; GENAI_REDACT masks.

    Example: `genai-spine dlq show 0/17`
    """
    import sys

    from streams.dlq import chosen

    (letter,) = chosen(_all(), [place])
    if raw:
        sys.stdout.buffer.write(letter.record.value or b"")
        return
    letter = _shown(letter)
    if as_json:
        typer.echo(json.dumps(letter.as_json(), ensure_ascii=False))
        return
    typer.echo(whole(letter))


def line(letter: "Letter") -> str:
    """Place, error type, source and message, as text that no terminal obeys."""
    from streams.showing import plain

    kind, source = letter.header("genai-error-type"), letter.header("genai-source")
    return plain(f"{letter.place:<9} {kind:<18} {source}  {letter.header('genai-error')[:80]}")


def whole(letter: "Letter") -> str:
    """Headers, key and value, likewise; the value keeps its lines."""
    from streams.showing import plain

    told = [plain(f"{name}: {value.decode(errors='replace')}") for name, value in letter.record.headers]
    value = plain((letter.record.value or b"").decode(errors="replace"), keep="\n\t")
    return "\n".join([*told, f"key: {letter.record.key!r}", "", value])


@app.command()
def replay(
    places: Annotated[list[str] | None, typer.Argument(help="PARTITION/OFFSET, one or many.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every open one, except those that are no valid request.")
    ] = False,
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
    wanted = dlq.chosen(found, places) if places else _open(found, error_type)
    chosen = settings.load()
    sent = asyncio.run(dlq.replay(chosen, where.bootstrap(chosen), wanted))
    if as_json:
        typer.echo(json.dumps({"replayed": [{"place": letter.place, "topic": topic} for letter, topic in sent]}))
        return
    for letter, topic in sent:
        typer.echo(f"{letter.place} sent to {topic}.")
    typer.echo(f"{len(sent)} of {len(found)} dead letters replayed.", err=True)


def _open(found: "list[Letter]", error_type: str | None) -> "list[Letter]":
    """Those that a replay may help, each request once."""
    now = _now(found)
    return [letter for letter in found if now[letter.place] == "open" and _fits(letter, error_type)]


def _fits(letter: "Letter", error_type: str | None) -> bool:
    kind = letter.header("genai-error-type")
    return kind == error_type if error_type else kind != _HOPELESS


def _now(found: "list[Letter]") -> "dict[str, Now]":
    """What became of each. Where the ledger cannot be asked, that is said, and only newer letters are known."""
    import asyncio

    from store.errors import StoreError
    from streams import dlq, settings
    from streams.errors import SpineError

    try:
        states = asyncio.run(dlq.states(settings.load(), found))
    except (SpineError, StoreError) as error:
        typer.echo(f"The ledger cannot say what became of them ({error}).", err=True)
        states = {}
    return dlq.became(found, states)


def _shown(letter: "Letter") -> "Letter":
    from streams import dlq, redact, settings

    masks = redact.of(settings.load().redact)
    return dlq.masked(letter, masks) if masks else letter


def _all() -> "list[Letter]":
    import asyncio

    from streams import dlq, settings, where

    return asyncio.run(dlq.letters(where.bootstrap(settings.load())))
