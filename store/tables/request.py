"""Requests with their bodies and results, and what was cancelled before it was known."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, SmallInteger, Table, Text, text

from store.tables.base import PK, metadata

requests = Table(
    "requests",
    metadata,
    Column("pk", PK, primary_key=True, autoincrement=False),
    Column("identity", LargeBinary, nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("owner", Text),
    Column("lane", SmallInteger, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("paid", Boolean, nullable=False),
    Column("on_ambiguous", Text, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("deadline", Double),
    Column("attempts", Integer, nullable=False),
    Column("deaths_calling", SmallInteger, nullable=False),
    Column("deaths_leased", SmallInteger, nullable=False),
    Column("ambiguous", SmallInteger, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("error_type", Text),
    Column("run_id", Text),
    Column("idempotency_key", Text),
    Column("supersede_key", Text),
    Column("follows", BigInteger),
    Column("ordered", Boolean, nullable=False),
    Column("budget_nano", BigInteger),
    Column("key", LargeBinary),
    Column("partition", Integer),
    Column("source_topic", Text),
    Column("source_partition", Integer),
    Column("source_offset", BigInteger),
    Column("source_timestamp", BigInteger),
    Column("requested_at", Double, nullable=False),
    Column("accepted_at", Double, nullable=False),
    Column("started_at", Double),
    Column("completed_at", Double),
    Column("pinned", Text, comment="what was settled at acceptance and must not change until it is run"),
    Column("superseded_by", Text, comment="the id of the newer one of its supersede_key"),
    Column(
        "behind", SmallInteger, nullable=False, server_default="0", comment="what it waits for; see ledger/behind.py"
    ),
    Column("order_key", LargeBinary, comment="rows of one go one after another, by turn"),
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("idem", LargeBinary, comment="of the one row that leads its idempotency key"),
    Column("followers", Integer, nullable=False, server_default="0", comment="at most so many wait for its end"),
    Column("fingerprint", LargeBinary, comment="what decides the answer, while it may serve others"),
    Column("answer_bytes", Integer, comment="of a result that the cache may give"),
    Column("alone", Boolean, nullable=False, server_default=text("false"), comment="only its HTTP caller waits for it"),
    Column(
        "due",
        Double,
        nullable=False,
        server_default="0",
        comment="its deadline or the end of its patience, what is sooner",
    ),
    Column("weight", Integer, nullable=False, server_default="0", comment="tokens it may take, guessed"),
    Column("key_id", Text, comment="whose key brought it over HTTP"),
    Column("budgets", Text, comment="under which it holds budget_nano"),
    Column(
        "quiet", Boolean, nullable=False, server_default=text("false"), comment="only its caller is told its answer"
    ),
    Column("streamed", Boolean, nullable=False, server_default=text("false"), comment="its caller reads along"),
    Column("route", Text, comment="JSON: its route's name, arm and targets that are left"),
    Column("move_at", Double, comment="then it goes to its next target"),
    Column("caller", Text, comment="the process that its only HTTP caller waits at"),
    Column(
        "response", Text, comment="of /v1/responses: stored, resumable, deleted; null: it cannot be asked for there"
    ),
)

# words and not bound values: PostgreSQL's generic plans use a partial index only for the very words of its condition
CLAIMABLE = text("state = 'waiting' AND not_before = 0 AND behind = 0")
DELAYED = text("state = 'waiting' AND not_before > 0")
BEHIND = text("state = 'waiting' AND not_before = 0 AND behind > 0")

Index(
    "requests_claimable",
    requests.c.provider,
    requests.c.model,
    requests.c.lane,
    requests.c.tenant,
    requests.c.due,
    requests.c.pk,
    requests.c.accepted_at,  # so that how many wait, and since when, is told without reading them
    sqlite_where=CLAIMABLE,
    postgresql_where=CLAIMABLE,
)
Index("requests_delayed", requests.c.not_before, sqlite_where=DELAYED, postgresql_where=DELAYED)
Index("requests_behind", requests.c.behind, requests.c.accepted_at, sqlite_where=BEHIND, postgresql_where=BEHIND)
# a sum, so that PostgreSQL takes the index for these words only and never for a realtime row that waits
REALTIME = text("lane + 0 = 0")
Index(
    "requests_realtime",
    requests.c.provider,
    requests.c.model,
    requests.c.accepted_at,
    sqlite_where=REALTIME,
    postgresql_where=REALTIME,
)
_OWNED = text("owner IS NOT NULL")
Index("requests_owned", requests.c.owner, sqlite_where=_OWNED, postgresql_where=_OWNED)
DUE = text("deadline IS NOT NULL AND state = 'waiting'")
Index("requests_deadline", requests.c.deadline, sqlite_where=DUE, postgresql_where=DUE)
_RUN = text("run_id IS NOT NULL")
STANDING = text("supersede_key IS NOT NULL AND superseded_by IS NULL")
Index(
    "requests_standing",
    requests.c.supersede_key,
    requests.c.tenant,
    requests.c.operation,
    sqlite_where=STANDING,
    postgresql_where=STANDING,
)

MOVING = text("move_at IS NOT NULL AND state = 'waiting' AND behind = 0")
Index("requests_moving", requests.c.move_at, sqlite_where=MOVING, postgresql_where=MOVING)
QUEUED = text("order_key IS NOT NULL AND completed_at IS NULL")
Index("requests_queued", requests.c.order_key, requests.c.turn, sqlite_where=QUEUED, postgresql_where=QUEUED)
HEAD = text("order_key IS NOT NULL AND completed_at IS NULL AND behind = 0")
Index("requests_head", requests.c.order_key, unique=True, sqlite_where=HEAD, postgresql_where=HEAD)
IDEM = text("idem IS NOT NULL")
Index("requests_idem", requests.c.idem, unique=True, sqlite_where=IDEM, postgresql_where=IDEM)
FOLLOWS = text("follows IS NOT NULL AND completed_at IS NULL")
Index("requests_follows", requests.c.follows, sqlite_where=FOLLOWS, postgresql_where=FOLLOWS)
LIVE = text("fingerprint IS NOT NULL AND behind = 0")
FLYING = text("fingerprint IS NOT NULL AND behind = 0 AND completed_at IS NULL")
Index("requests_live", requests.c.fingerprint, sqlite_where=LIVE, postgresql_where=LIVE)
CACHED = text("fingerprint IS NOT NULL AND completed_at IS NOT NULL")
Index("requests_cached", requests.c.completed_at, requests.c.answer_bytes, sqlite_where=CACHED, postgresql_where=CACHED)

KEYED = text("key_id IS NOT NULL AND completed_at IS NULL")
Index("requests_key", requests.c.key_id, sqlite_where=KEYED, postgresql_where=KEYED)

HOLDING = text("budget_nano IS NOT NULL AND completed_at IS NULL")
Index("requests_holding", requests.c.budgets, sqlite_where=HOLDING, postgresql_where=HOLDING)

# lists, newest first; behind the key stands the lane, so that counting by state and lane reads the index alone
_AGE = (requests.c.accepted_at, requests.c.pk)
Index("requests_accepted", *_AGE)
Index("requests_state", requests.c.state, *_AGE, requests.c.lane)
Index("requests_tenant", requests.c.tenant, *_AGE)
Index("requests_operation", requests.c.operation, *_AGE)
Index("requests_run_accepted", requests.c.run_id, *_AGE, sqlite_where=_RUN, postgresql_where=_RUN)

bodies = Table(
    "bodies",
    metadata,
    Column("request_pk", PK, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False, comment="the record's value, untouched"),
    Column("headers", LargeBinary, nullable=False, comment="JSON: [[name, base64], ...]"),
)

results = Table(
    "results",
    metadata,
    Column("request_pk", PK, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the published result, JSON"),
    Column("completed_at", Double, nullable=False),
    Index("results_completed", "completed_at", "status"),
)

cancels = Table(
    "cancels",
    metadata,
    Column("identity", LargeBinary, primary_key=True),
    Column("at", Double, nullable=False),
)

run_cancels = Table(
    "run_cancels",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("at", Double, nullable=False),
)
