"""The table of runs; their items are rows of `requests` that name them."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text, false, text

from store.tables import metadata, requests

runs = Table(
    "runs",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column(
        "said", LargeBinary, nullable=False, comment="JSON: what is told of the request: metadata, options, webhook"
    ),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("idempotency_key", Text),
    Column("deadline", Double),
    Column("total", BigInteger, nullable=False, comment="items so far; all of them once it is sealed"),
    Column("fed", BigInteger, nullable=False, comment="how many of them are requests"),
    Column("sealed", Boolean, nullable=False, comment="no more items come"),
    Column("owner", Text, comment="the worker that feeds and counts it"),
    Column("cancelled", Boolean, nullable=False),
    Column("succeeded", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    Column("stopped", BigInteger, nullable=False, server_default="0", comment="cancelled or expired items"),
    Column("cost_nano", BigInteger, nullable=False, server_default="0"),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("per_s", Double, comment="items that ended per second of late; null: not known yet"),
    Column("broken_off", Boolean, nullable=False, server_default=false(), comment="its upload ended in the middle"),
    Column("content_hash", LargeBinary, comment="of what was uploaded"),
    Column("budget_nano", BigInteger, comment="null: nothing bounds it"),
    Column(
        "over_budget",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="items that no budget had room for, once it has ended",
    ),
    Column("prompts_revision", BigInteger, comment="of the registry, when it was accepted; null: by an older program"),
)
run_parts = Table(
    "run_parts",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("first", BigInteger, primary_key=True, comment="number of its first item, from 0"),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="JSON Lines, zlib; gone when they are requests"),
)
Index("runs_created", runs.c.tenant, runs.c.created_at, runs.c.id)
_KEYED = text("idempotency_key IS NOT NULL")
Index(
    "runs_key",
    runs.c.tenant,
    runs.c.idempotency_key,
    unique=True,
    sqlite_where=_KEYED,
    postgresql_where=_KEYED,
)
OPEN = text("ended_at IS NULL")
Index("runs_open", runs.c.created_at, sqlite_where=OPEN, postgresql_where=OPEN)

IN_A_RUN = text("run_id IS NOT NULL")
Index("requests_run_items", requests.c.run_id, requests.c.pk, sqlite_where=IN_A_RUN, postgresql_where=IN_A_RUN)
UNFINISHED = text("run_id IS NOT NULL AND completed_at IS NULL")
Index("requests_run_open", requests.c.run_id, sqlite_where=UNFINISHED, postgresql_where=UNFINISHED)
BAD = text("run_id IS NOT NULL AND state IN ('failed', 'cancelled', 'expired')")
Index("requests_run_bad", requests.c.run_id, requests.c.state, sqlite_where=BAD, postgresql_where=BAD)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, comment="gone when it is delivered or given up"),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("due_at", Double, comment="the next try; null: delivered or given up"),
    Column("tries", Integer, nullable=False),
    Column("delivered_at", Double),
    Column("said", Text, comment="how the last try ended"),
)
DUE = text("due_at IS NOT NULL")
Index("deliveries_due", deliveries.c.due_at, sqlite_where=DUE, postgresql_where=DUE)
Index("deliveries_run", deliveries.c.tenant, deliveries.c.run_id, deliveries.c.created_at)

files = Table(
    "files",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("status", Text, nullable=False, comment="uploading, processed, deleted"),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
)
file_parts = Table(
    "file_parts",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("file_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="zlib"),
)
Index("files_created", files.c.tenant, files.c.created_at, files.c.id)

jobs = Table(
    "jobs",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("params", LargeBinary, nullable=False, comment="JSON"),
    Column("tries", Integer, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("result", LargeBinary, comment="JSON, once it has ended"),
    Column("ended_at", Double),
    Index("jobs_ended", "ended_at"),
    comment="runs that are no requests: the program's own work",
)
