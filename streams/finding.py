"""A request by its id, which may stand for several: tenants and operations have ids of their own."""

from typing import Any

from sqlalchemy import Connection, Row

from schemas.operations import NAMES
from store.ledger import queries
from streams.settings import Settings


def named(conn: Connection, settings: Settings, id_: str, tenant: str | None, operation: str | None) -> list[Row[Any]]:
    """Every request of that id, under the tenant and the operation if they are said, else under all that are known."""
    operations = [operation.replace("-", "_")] if operation else sorted(NAMES)
    known = {settings.default_tenant, *settings.tenants.values()} | queries.tenants(conn)
    return queries.requests_named(conn, id_, [tenant] if tenant else sorted(known), operations)
