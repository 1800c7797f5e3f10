"""Files that were uploaded, as documents of pipelines: out of the ledger's database, by id or by name."""

from functools import partial

from agents.retrieval.reading import Given
from store import files
from store.database import Database


class Uploaded:
    """`agents.retrieval.files.Files`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def named(self, tenant: str, name: str, most_bytes: int) -> Given | None:
        """No more of it is read than shows that it is too large."""
        found = await self._database.read(
            lambda conn: files.one(conn, tenant, name) or files.newest(conn, tenant, name)
        )
        if found is None or found.status != files.PROCESSED:
            return None
        data, number = bytearray(), 0
        while len(data) <= most_bytes:
            read = partial(files.part, tenant=tenant, id_=found.id, number=number)
            if (part := await self._database.read(read)) is None:
                break
            data += part
            number += 1
        return Given(found.name, bytes(data))
