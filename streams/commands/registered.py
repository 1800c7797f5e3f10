"""What the commands of `prompts` on the registry share: a look at the ledger's database, a change of it, a table."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from store.ledger.types.records import Routes
    from streams.prompting.changing import By


def seen(slug: str, tenant: str | None, see: "Callable[[Connection, Row[Any]], Any]") -> Any:
    """A look at one prompt."""
    from streams.prompting import looking

    owner = owner_of(tenant)
    return looked(lambda conn: see(conn, looking.find(conn, slug, owner)))


def owner_of(tenant: str | None) -> str:
    """Whose prompts are meant."""
    from streams import settings

    return tenant or settings.load().default_tenant


def looked(work: "Callable[[Connection], Any]") -> Any:
    """A look at the database; what is not there is one sentence."""
    import asyncio

    from store.registry.errors import RegistryError
    from streams import lookup, postgres, settings

    async def look() -> Any:
        async with lookup.opened(postgres.resolved(settings.load())) as database:
            return await database.read(work)

    try:
        return asyncio.run(look())
    except RegistryError as error:
        raise wrong(f"{_capital(str(error))}.") from None


def changed(tenant: str | None, who: str | None, change: "Callable[[Connection, Routes, By], Any]") -> Any:
    """A change, in one transaction."""
    import asyncio
    import getpass

    from store.registry.errors import RegistryError
    from streams import lookup, postgres, routing, settings
    from streams.prompting.changing import By
    from streams.prompting.registry import BadPrompt

    chosen = postgres.resolved(settings.load())
    by = By(tenant or chosen.default_tenant, who or getpass.getuser())

    async def write() -> Any:
        async with lookup.opened(chosen) as database:
            routes = routing.make_routes(chosen, {})
            return await database.write(lambda conn: change(conn, routes, by))

    try:
        return asyncio.run(write())
    except (RegistryError, BadPrompt) as error:
        raise wrong(f"{_capital(str(error))}.") from None


def show(found: Any, names: Sequence[str], rows: Sequence[Sequence[str]], as_json: bool) -> None:
    """A table for people, JSON for a program."""
    if as_json:
        typer.echo(json.dumps(found))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _capital(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}" if words[:1].islower() else words


def wrong(words: str) -> Exception:
    """Wrong usage."""
    from streams.errors import SpineError

    return SpineError(words, exit_code=2)
