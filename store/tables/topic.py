"""Topics: what was read of them, and what is to be published and by whom."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from store.tables.base import PK, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("pk", PK, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("number", BigInteger, comment="of a usage event: its place in its partition"),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", LargeBinary, nullable=False),
    Index("outbox_partition", "topic", "partition", "pk"),
    sqlite_autoincrement=True,
)

numbers = Table(
    "numbers",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

relays = Table(
    "relays",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
)

positions = Table(
    "positions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True),
    Column("request_pk", BigInteger),
    Column("generation", Integer),
    Column("decision", Text, nullable=False),
    sqlite_with_rowid=False,
)

intake_progress = Table(
    "intake_progress",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("last_timestamp", BigInteger, nullable=False, comment="of the record at next_offset - 1"),
    Column("committed_seen", BigInteger, nullable=False),
    Column("replay_until", BigInteger, nullable=False),
)
