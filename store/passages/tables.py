"""What is kept: batches, and where the database has pgvector, their vectors one by one."""

from typing import Any

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text
from sqlalchemy.types import UserDefinedType

from store.tables import metadata


class HalfVector(UserDefinedType[Any]):
    """pgvector's `halfvec`: two bytes per number, of any length."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "halfvec"


embedded_batches = Table(
    "embedded_batches",
    metadata,
    Column("key", LargeBinary, primary_key=True, comment="a digest of tenant, model and texts"),
    Column("tenant", Text, nullable=False),
    Column("model", Text, nullable=False, comment="provider/model"),
    Column("size", Integer, nullable=False, comment="passages"),
    Column("dimensions", Integer, nullable=False),
    Column("used_at", Double, nullable=False, comment="to the day"),
    Column("vectors", LargeBinary, comment="lengths and numbers; null: they are rows of passage_vectors"),
)
Index("embedded_batches_used", embedded_batches.c.used_at)

passage_vectors = Table(
    "passage_vectors",
    MetaData(),  # only where there is pgvector
    Column("batch", LargeBinary, primary_key=True, comment="embedded_batches.key"),
    Column("number", SmallInteger, primary_key=True, comment="of the passage in its batch, from 0"),
    Column("vector", HalfVector, nullable=False),
)
