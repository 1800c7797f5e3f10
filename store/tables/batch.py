"""Batches of calls that a provider runs when it likes, and the calls in them."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text, text

from store.tables.base import PK, metadata

batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True, comment="our marker, which the provider is told"),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="chat, embed"),
    Column("state", Text, nullable=False, comment="gathered, sent, ended"),
    Column("owner", Text, nullable=False, comment="the worker that looks after it; of a dead one anybody takes it"),
    Column("fence", BigInteger, nullable=False, comment="more with each owner"),
    Column("items", Integer, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("first_sent_at", Double, comment="from then on the provider may have it"),
    Column("sent_at", Double, comment="the last try to hand it over"),
    Column("remote_id", Text, comment="as the provider calls it"),
    Column("proven", Boolean, nullable=False, server_default=text("false"), comment="that remote_id is this batch"),
    Column("not_these", Text, comment="JSON: of the provider's batches those that were taken for it and are not"),
    Column("due_at", Double, comment="then what was not run must be asked for elsewhere"),
    Column("stopped_at", Double, comment="when the provider was asked to run no more of it"),
    Column("ended_at", Double),
    Column("said", Text, comment="what went wrong last"),
    comment="calls handed over to a provider's batch API",
)
OPEN_BATCH = text("ended_at IS NULL")
Index("batches_open", batches.c.made_at, sqlite_where=OPEN_BATCH, postgresql_where=OPEN_BATCH)

batch_items = Table(
    "batch_items",
    metadata,
    Column("call_id", Text, primary_key=True, comment="the journal's; the provider gives it back"),
    Column("request_pk", PK, nullable=False),
    Column("fence", BigInteger, nullable=False, comment="of the lease that made it"),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("bucket", Integer, nullable=False, comment="items whose deadlines are about as far away share a batch"),
    Column("due_at", Double, comment="then it must be asked for elsewhere"),
    Column("body", LargeBinary, nullable=False),
    Column("at", Double, nullable=False),
    Column("batch_id", Text, comment="null: it waits for others to go with it"),
    Index("batch_items_batch", "batch_id"),
    comment="calls that are, or will be, in a batch; gone when the batch has ended",
)
LOOSE = text("batch_id IS NULL")
Index("batch_items_loose", batch_items.c.at, sqlite_where=LOOSE, postgresql_where=LOOSE)
