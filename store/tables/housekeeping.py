"""Who runs and who leads, which ledger this is, and what of it was taken away."""

from sqlalchemy import Column, Double, Integer, Table, Text

from store.tables.base import metadata

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
)

ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Text, primary_key=True, comment="a new ledger numbers its usage events anew"),
    Column("made_at", Double, nullable=False),
)

pruned = Table(
    "pruned",
    metadata,
    Column("kind", Text, primary_key=True, comment="bodies, journal, positions"),
    Column("before", Double, nullable=False, comment="what is older may have gone"),
)

leaders = Table(
    "leaders",
    metadata,
    Column("role", Text, primary_key=True),
    Column("owner", Text, comment="a worker, who leads as long as it lives"),
    Column("since", Double, nullable=False),
    comment="what one process at a time does",
)
