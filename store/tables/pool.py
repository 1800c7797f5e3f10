"""Pools, and what bounds their calls: slots, pauses, shut doors and quotas."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, Table, Text, text

from store.tables.base import metadata

pools = Table(
    "pools",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("used_at", Double, nullable=False, comment="to some seconds; later what is unused goes"),
    Column("answered", Boolean, nullable=False, comment="a call of it has been answered since it is there"),
    comment="whatever has slots",
)

slots = Table(
    "slots",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("reserved", Boolean, nullable=False, comment="kept from the batch lane"),
    Column("owner", Text),
    Column("open", Boolean, nullable=False, server_default=text("true"), comment="false: the node is another model's"),
    Column("opened_at", Double, nullable=False, server_default="0"),
    Index("slots_owner", "owner"),
)
_LEAVING = text("owner IS NOT NULL AND NOT open")
Index("slots_leaving", slots.c.owner, sqlite_where=_LEAVING, postgresql_where=_LEAVING)

pool_limits = Table(
    "pool_limits",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("paused_until", Double, nullable=False, comment="the provider asked all of us to wait"),
    Column("ceiling", Double, comment="calls in flight at most; null: the slots are the bound"),
    Column("cut_at", Double, nullable=False),
    comment="pools that their provider has limited; empty when none is",
)

doors = Table(
    "doors",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("failures", Integer, nullable=False, comment="refusals in a row; from five on it is shut"),
    Column("shut_until", Double, nullable=False, comment="from then on one call may try it"),
    comment="nodes that refused lately; empty when none did",
)

quotas = Table(
    "quotas",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True, comment="minutes since 1970"),
    Column("calls", BigInteger, nullable=False, comment="lent to processes in blocks, whether they were made or not"),
    Column("tokens", BigInteger, nullable=False, comment="the same, in upper estimates"),
    comment="pools whose calls or tokens a minute are bounded by a setting",
)
