"""`database status|stop`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.errors import Exit

if TYPE_CHECKING:
    from streams.settings import Settings

app = typer.Typer(help="The database of the ledger.", no_args_is_help=True)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Say which database it is and whether it answers. Exit code 3 when it does not (with --json always 0).

    Example: `genai-spine database status --json`
    """
    from streams import postgres, settings

    chosen = settings.load()
    look = _packaged if chosen.database_url == postgres.EMBEDDED else _named if chosen.database_url else _usual
    found = look(chosen)
    typer.echo(json.dumps(found) if as_json else found["words"])
    if not found["running"] and not as_json:
        raise typer.Exit(Exit.NOT_RUNNING)


def _packaged(settings: "Settings") -> dict[str, Any]:
    from streams import postgres

    pid, folder = postgres.pid(settings), str(postgres.folder(settings))
    words = f"The packaged PostgreSQL runs (pid {pid}) on {folder}."
    if pid is None:
        words = f"The packaged PostgreSQL on {folder} does not run. Whatever needs it starts it."
    return {"kind": "embedded", "running": pid is not None, "where": folder, "pid": pid, "words": words}


def _usual(settings: "Settings") -> dict[str, Any]:
    """The SQLite file in the data directory; looked at without what reads it, which takes longer to import."""
    from streams import where

    name = where.ledger_url(settings)
    made = Path(name.removeprefix("sqlite:///")).is_file()
    words = f"{name} is there." if made else f"{name} is not made yet; the first start makes it."
    return {"kind": "sqlite", "running": made, "where": name, "pid": None, "words": words}


def _named(settings: "Settings") -> dict[str, Any]:
    """A SQLite file, or a PostgreSQL somewhere."""
    import asyncio

    from store.database import parse_url
    from streams import where

    url = parse_url(where.ledger_url(settings))
    name, kind = url.render_as_string(hide_password=True), url.drivername.partition("+")[0]
    if kind == "sqlite" and not Path(url.database or "").exists():
        words = f"{name} is not made yet; the first start makes it."
        return {"kind": kind, "running": False, "where": name, "pid": None, "words": words}
    why = asyncio.run(_silence(url))
    words = f"{name} does not answer ({why}). Start it, or mend GENAI_DATABASE_URL." if why else f"{name} answers."
    return {"kind": kind, "running": not why, "where": name, "pid": None, "words": words}


async def _silence(url: Any) -> str:
    """Why it does not answer; empty when it does."""
    from store.database import Database, now
    from store.errors import StoreError

    database = Database(url)
    try:
        await database.read(now)
    except StoreError as error:
        return str(error)
    finally:
        await database.aclose()
    return ""


@app.command()
def stop() -> None:
    """Stop the packaged PostgreSQL, which goes on when `worker` or `web` has started it. Nothing when another one is used.

    Example: `GENAI_DATABASE_URL=embedded genai-spine database stop`
    """
    from streams import postgres, settings

    chosen = settings.load()
    if chosen.database_url != postgres.EMBEDDED:
        typer.echo("GENAI_DATABASE_URL is not `embedded`: that database is not ours to stop.")
    elif postgres.pid(chosen) is None:
        typer.echo(f"No PostgreSQL runs on {postgres.folder(chosen)}.")
    else:
        postgres.stop(chosen)
        typer.echo(f"Stopped the PostgreSQL on {postgres.folder(chosen)}.")
