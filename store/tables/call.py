"""Calls: the journal, and how far those are that take long."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text, text

from store.tables.base import PK, metadata

executions = Table(
    "executions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request_pk", PK, nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("number", Integer, nullable=False, comment="which call of the request, from 1"),
    Column("attempt", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("prompt", Text),
    Column("prompt_version", Integer),
    Column("provider", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("estimate_tokens", Integer, nullable=False, comment="upper estimate of the input"),
    Column("estimate_output", Integer, nullable=False),
    Column("estimate_nano", BigInteger),
    Column("outcome", Text, comment="null while open; ok, error, wasted"),
    Column("input_tokens", Integer, nullable=False, server_default="0"),
    Column("output_tokens", Integer, nullable=False, server_default="0"),
    Column("cached_tokens", Integer, nullable=False, server_default="0"),
    Column("estimated", Boolean, nullable=False, server_default=text("false")),
    Column("gpu_seconds", Double),
    Column("cost_nano", BigInteger, comment="null: nothing priced it"),
    Column("price_source", Text),
    Column("price_version", Text),
    Column("latency_ms", Integer, nullable=False, server_default="0"),
    Column("error_type", Text),
    Column("error", Text),
    Column("answer", LargeBinary, comment="kept while another attempt may take it over"),
    Column("opened_at", Double, nullable=False),
    Column("closed_at", Double),
    Column("budgets", Text, comment="under which its cost is counted"),
    Column("cache_write_tokens", Integer, nullable=False, server_default="0"),
    Column("reasoning_tokens", Integer, nullable=False, server_default="0"),
    Column("tier", Text, comment="as the provider said it"),
    Column("cache_write_1h_tokens", Integer, nullable=False, server_default="0", comment="of cache_write_tokens"),
)

_PROMPTED = text("prompt IS NOT NULL")
Index(
    "executions_prompt",
    executions.c.prompt,
    executions.c.opened_at,
    sqlite_where=_PROMPTED,
    postgresql_where=_PROMPTED,
)
_CLOSED = text("closed_at IS NOT NULL")
Index("executions_closed", executions.c.closed_at, sqlite_where=_CLOSED, postgresql_where=_CLOSED)
_FAILED = text("outcome <> 'ok'")
# few, and whole in it: how many failed is told without reading them
Index(
    "executions_failed",
    *(
        executions.c[name]
        for name in ("closed_at", "tenant", "provider", "model", "outcome", "input_tokens", "cost_nano")
    ),
    sqlite_where=_FAILED,
    postgresql_where=_FAILED,
)
generating = Table(
    "generating",
    metadata,
    Column("request_pk", PK, primary_key=True, autoincrement=False),
    Column("fence", BigInteger, nullable=False, comment="of the lease that says so"),
    Column("tokens", BigInteger, nullable=False, comment="of all answers so far"),
    Column("calls", Integer, nullable=False, comment="how many were begun"),
    Column("since", Double, nullable=False, comment="when the one that runs was begun"),
    Column("at", Double, nullable=False),
    comment="how far long calls are; may be lost at any time",
)

pieces = Table(
    "pieces",
    metadata,
    Column("request_pk", PK, primary_key=True, autoincrement=False),
    Column("fence", BigInteger, primary_key=True, autoincrement=False, comment="of the lease that made them"),
    Column("number", Integer, primary_key=True, autoincrement=False, comment="from 0, without a gap"),
    Column("body", LargeBinary, nullable=False, comment="JSON: what came since the number before"),
    Column("at", Double, nullable=False),
    Column(
        "kept", Integer, comment="the generation, of those that stay for whoever comes back; null: taken away when read"
    ),
    Index("pieces_at", "at"),
    comment="of answers that a caller of another process reads along; taken away when they are read; may be lost",
)
