"""`keys create|list|show|rotate|revoke`: who may ask over HTTP, for which tenant, for what and how much."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from store.database import Work
    from store.keys import Fate

app = typer.Typer(help="Keys of callers over HTTP: for whom, for what, how much, how long.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, or its visible prefix.")]
_Globs = list[str] | None
_SHOWN_ONCE = "This is the only time that the key is shown; the ledger keeps a digest of it."


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, for people.")],
    tenant: Annotated[str | None, typer.Option(help="The only tenant it acts for; without one, any.")] = None,
    operations: Annotated[_Globs, typer.Option(help="Only these, such as summarize or summ*; again for more.")] = None,
    models: Annotated[_Globs, typer.Option(help="Only these, such as ollama/* or openai/gpt-*.")] = None,
    lanes: Annotated[_Globs, typer.Option(help="Only these: realtime, normal, batch.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May do everything, make keys too.")] = False,
    rpm: Annotated[int | None, typer.Option(help="Requests a minute, over all processes.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute, by upper estimates.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Unfinished requests at a time.")] = None,
    expires: Annotated[str | None, typer.Option(help="After so long, such as 90d or 12h; without it, never.")] = None,
    as_json: _Json = False,
) -> None:
    """Make a key and print it, once. From the first key on the API is open to nobody without one, on loopback too.

    Example: genai-spine keys create feedspine --tenant feedspine --operations summarize --rpm 600 --expires 90d
    """
    from store.keys import create as insert
    from streams import keys
    from streams.errors import Exit, SpineError

    told = {
        "name": name,
        "tenant": tenant,
        "operations": operations,
        "models": models,
        "lanes": lanes,
        "admin": admin,
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        "expires": expires,
    }
    try:
        wish = keys.wish(told)
    except ValueError as error:
        raise SpineError(str(error), exit_code=Exit.USAGE) from None
    id_, key = keys.make()
    row = _write(lambda conn: insert(conn, id_, keys.secret(key), wish))
    _print(row, key, as_json)


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """Print every key, newest first, also those that no longer work. With --json one object a line.

    Example: genai-spine keys list
    """
    import time

    from store import keys as rows
    from streams.keys import told

    at = time.time()
    found = [told(row, at) for row in _read(rows.every)]
    if as_json:
        for each in found:
            typer.echo(json.dumps(each, ensure_ascii=False))
        return
    from rich.console import Console

    from streams.tabling import listed

    console = Console(highlight=False)
    console.print(listed([_row(each) for each in found], console.width))


@app.command()
def show(id_: _Id, as_json: _Json = False) -> None:
    """Print one key: what it is for, its limits, when it was used last. Nobody can print the key itself.

    Example: genai-spine keys show key-2f8a0c1d9b7e
    """
    from store import keys as rows
    from streams.keys import told

    row = _read(lambda conn: rows.find(conn, id_))
    if row is None:
        raise _unknown(id_)
    _echo(told(row), as_json)


@app.command()
def rotate(
    id_: _Id,
    overlap: Annotated[str, typer.Option(help="So long the key before works too, such as 24h or 0.")] = "24h",
    as_json: _Json = False,
) -> None:
    """Print another key under the same id, once; the one before works for a while. Scopes, limits and budgets stay.

    Example: genai-spine keys rotate key-2f8a0c1d9b7e --overlap 1h
    """
    from store.keys import rotate as change
    from streams import keys
    from streams.errors import Exit, SpineError

    try:
        overlap_s = keys.span(overlap)
    except ValueError as error:
        raise SpineError(f"--overlap: {error}", exit_code=Exit.USAGE) from None
    key = keys.fresh()
    fate, row = _change(id_, lambda conn, found: change(conn, found, keys.secret(key), overlap_s))
    if fate == "revoked":
        raise SpineError(f"The key {row.id} was revoked and cannot be rotated; make another one.")
    _print(row, key, as_json)


@app.command()
def revoke(id_: _Id, as_json: _Json = False) -> None:
    """End a key, and with it the one before its last rotation: within two seconds on every process. Nothing brings it back.

    Example: genai-spine keys revoke key-2f8a0c1d9b7e
    """
    from store.keys import revoke as change
    from streams.keys import told

    fate, row = _change(id_, change)
    if as_json:
        typer.echo(json.dumps(told(row), ensure_ascii=False))
        return
    words = "was revoked before" if fate == "revoked" else "is revoked; no process takes it in two seconds' time"
    typer.echo(f"The key {row.id} {words}.")


def _change(id_: str, work: Any) -> "tuple[Fate, Any]":
    """By its id or by its prefix."""
    from store import keys as rows

    def change(conn: Any) -> "tuple[Fate, Any]":
        found = rows.find(conn, id_)
        outcome: tuple[Fate, Any] = ("unknown", None) if found is None else work(conn, found.id)
        return outcome

    fate, row = _write(change)
    if row is None:
        raise _unknown(id_)
    return fate, row


def _unknown(id_: str) -> Exception:
    from streams.errors import SpineError
    from streams.showing import plain

    return SpineError(f"Nobody has made a key {plain(id_[:100])!r}; `genai-spine keys list` shows all.")


def _print(row: Any, key: str, as_json: bool) -> None:
    from streams.keys import told

    if as_json:
        typer.echo(json.dumps({**told(row), "key": key}, ensure_ascii=False))
        return
    typer.echo(key)
    typer.echo(f"{row.id} ({row.prefix}…). {_SHOWN_ONCE}", err=True)


def _echo(told: dict[str, Any], as_json: bool) -> None:
    from streams.showing import plain

    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    for name, value in told.items():
        if value is not None:
            typer.echo(f"{name}: {plain(', '.join(value) if isinstance(value, list) else str(value))}")


def _row(told: dict[str, Any]) -> Any:
    from streams.showing import plain
    from streams.tabling import Row

    scopes = [f"{kind} {' '.join(told[kind])}" for kind in ("operations", "models", "lanes") if told[kind] != ["*"]]
    limits = [f"{told[limit]} {limit}" for limit in ("rpm", "tpm", "concurrency") if told[limit] is not None]
    works = told["state"] == "works"
    cells = {
        "id": told["id"],
        "prefix": told["prefix"],
        "name": told["name"],
        "tenant": told["tenant"] or "any",
        "state": f"works until {told['expires_at'][:10]}" if works and told["expires_at"] else told["state"],
        "for": "everything" if told["admin"] else "; ".join(scopes + limits) or "all operations",
        "used": (told["used_at"] or "never")[:10],
    }
    return Row({name: plain(text) for name, text in cells.items()})


def _read(work: "Work[Any]") -> Any:
    return _run(work, writes=False)


def _write(work: "Work[Any]") -> Any:
    return _run(work, writes=True)


def _run(work: "Work[Any]", *, writes: bool) -> Any:
    import asyncio

    from streams import lookup, postgres, settings

    chosen = postgres.resolved(settings.load())

    async def run() -> Any:
        async with lookup.opened(chosen) as database:
            return await (database.write if writes else database.read)(work)

    return asyncio.run(run())
