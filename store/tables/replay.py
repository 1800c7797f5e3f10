"""Replays, and what each has asked once more."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, Table, Text, text

from store.tables.base import metadata

replays = Table(
    "replays",
    metadata,
    Column("run", Text, primary_key=True),
    Column("mode", Text, nullable=False, comment="again, recorded, anew"),
    Column("chosen", LargeBinary, nullable=False, comment="JSON: which requests; see store/ledger/chosen.py"),
    Column("options", LargeBinary, nullable=False, comment="JSON: what is asked otherwise than before"),
    Column("cursor", BigInteger, nullable=False, comment="the last request that was dealt with"),
    Column("budget_nano", BigInteger),
    Column("spent_nano", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("ended_at", Double, comment="null: it can be gone on with"),
)

replay_items = Table(
    "replay_items",
    metadata,
    Column("run", Text, primary_key=True),
    Column("request_pk", BigInteger, primary_key=True),
    Column("generation", Integer, nullable=False, comment="of the original, when it was asked anew"),
    Column("replay_pk", BigInteger, comment="null: left out, for the budget"),
    Column("estimate_nano", BigInteger, comment="what it may cost at most; null: nothing prices it"),
    Column("cost_nano", BigInteger, comment="null: it has not ended"),
)

OPEN_ITEM = text("replay_pk IS NOT NULL AND cost_nano IS NULL")
Index("replay_items_open", replay_items.c.run, sqlite_where=OPEN_ITEM, postgresql_where=OPEN_ITEM)
