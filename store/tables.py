"""Every table of the ledger, as SQLAlchemy Core; `migrations/` makes them.

Times are seconds since 1970 UTC as doubles: on PostgreSQL the database's clock, on SQLite the machine's.
Money is whole nano-dollars (`schemas.money`). Bodies stand apart from the narrow rows that are updated all the time.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

_PK = BigInteger().with_variant(Integer(), "sqlite")

requests = Table(
    "requests",
    metadata,
    Column("pk", _PK, primary_key=True, autoincrement=False),
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
    Column(
        "response", Text, comment="of /v1/responses: stored, resumable, deleted; null: it cannot be asked for there"
    ),
)

# words and not bound values: PostgreSQL's generic plans use a partial index only for the very words of its condition
CLAIMABLE = text("state = 'waiting' AND not_before = 0 AND behind = 0")
DELAYED = text("state = 'waiting' AND not_before > 0")

Index(
    "requests_claimable",
    requests.c.provider,
    requests.c.model,
    requests.c.lane,
    requests.c.tenant,
    requests.c.due,
    requests.c.pk,
    sqlite_where=CLAIMABLE,
    postgresql_where=CLAIMABLE,
)
Index("requests_delayed", requests.c.not_before, sqlite_where=DELAYED, postgresql_where=DELAYED)
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
    Column("request_pk", _PK, primary_key=True, autoincrement=False),
    Column("value", LargeBinary, nullable=False, comment="the record's value, untouched"),
    Column("headers", LargeBinary, nullable=False, comment="JSON: [[name, base64], ...]"),
)

results = Table(
    "results",
    metadata,
    Column("request_pk", _PK, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the published result, JSON"),
    Column("completed_at", Double, nullable=False),
    Index("results_completed", "completed_at", "status"),
)

executions = Table(
    "executions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request_pk", _PK, nullable=False, index=True),
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
generating = Table(
    "generating",
    metadata,
    Column("request_pk", _PK, primary_key=True, autoincrement=False),
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
    Column("request_pk", _PK, primary_key=True, autoincrement=False),
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

daily_costs = Table(
    "daily_costs",
    metadata,
    Column("date", Text, primary_key=True, comment="UTC day, YYYY-MM-DD"),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
)

daily_savings = Table(
    "daily_savings",
    metadata,
    Column("date", Text, primary_key=True, comment="UTC day, YYYY-MM-DD"),
    Column("route", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    comment="of requests that had time to wait for a cheaper model",
)

daily_tiers = Table(
    "daily_tiers",
    metadata,
    Column("date", Text, primary_key=True, comment="UTC day, YYYY-MM-DD"),
    Column("tier", Text, primary_key=True, comment="flex, batch"),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("saved_nano", BigInteger, nullable=False),
    comment="of requests that had time for a cheaper tier of their provider",
)

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
    Column("request_pk", _PK, nullable=False),
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

outbox = Table(
    "outbox",
    metadata,
    Column("pk", _PK, primary_key=True, autoincrement=True),
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

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="stays the same when the key is rotated"),
    Column("prefix", Text, nullable=False, unique=True, comment="what may be shown of the key; it is found by it"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the whole key"),
    Column("old_prefix", Text, unique=True, comment="of the key before the last rotation"),
    Column("old_digest", LargeBinary),
    Column("old_until", Double, comment="until then that one works too"),
    Column("name", Text, nullable=False),
    Column("tenant", Text, comment="null: it may name any"),
    Column("scopes", LargeBinary, nullable=False, comment="JSON: operations, models, lanes, admin"),
    Column("rpm", Integer, comment="requests a minute"),
    Column("tpm", BigInteger, comment="tokens a minute, by upper estimates"),
    Column("concurrency", Integer, comment="unfinished requests at a time"),
    Column("made_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("rotated_at", Double),
    Column("revoked_at", Double),
    Column("used_at", Double, comment="about when it was used last; written behind the requests"),
    Column("version", BigInteger, nullable=False, comment="another number after each change; see store/keys.py"),
)

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

budgets = Table(
    "budgets",
    metadata,
    Column("id", _PK, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False, comment="whose requests; empty: everybody's"),
    Column("key_id", Text, nullable=False, comment="empty: whatever key brought them"),
    Column("model", Text, nullable=False, comment="provider/model or provider/*; empty: any"),
    Column("run_id", Text, nullable=False, comment="empty: of any run or none"),
    Column("period", Text, nullable=False, comment="day, month, total"),
    Column("limit_nano", BigInteger, nullable=False),
    Column("hard", Boolean, nullable=False, comment="false: it only counts"),
    Column("unpriced", Boolean, nullable=False, comment="lets calls pass that nothing prices"),
    Column("since", Double, nullable=False, comment="when the period began that is counted here"),
    Column("spent_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("overrun_nano", BigInteger, nullable=False, comment="of it what calls cost above their hold"),
    Column("unpriced_calls", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False, comment="requests that did not fit"),
    Column("told", SmallInteger, nullable=False, comment="the share in percent that was told of last"),
    Column("version", BigInteger, nullable=False, unique=True, comment="of the whole table, when it was changed last"),
    Column("made_at", Double, nullable=False),
    Column("removed_at", Double),
    UniqueConstraint("tenant", "key_id", "model", "run_id", "period"),
)

_UNREMOVED = text("removed_at IS NULL")
Index("budgets_standing", budgets.c.id, sqlite_where=_UNREMOVED, postgresql_where=_UNREMOVED)

budget_moves = Table(
    "budget_moves",
    metadata,
    Column("pk", _PK, primary_key=True, autoincrement=True),
    Column("budget_id", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("spent_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("overrun_nano", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
    Index("budget_moves_budget", "budget_id"),
    comment="what has changed of budgets and is not added to them yet",
)

budget_history = Table(
    "budget_history",
    metadata,
    Column("pk", _PK, primary_key=True, autoincrement=True),
    Column("budget_id", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("event", Text, nullable=False, comment="set, removed, 50, 80, 100, period"),
    Column("who", Text, nullable=False),
    Column("limit_nano", BigInteger, nullable=False),
    Column("spent_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Index("budget_history_budget", "budget_id", "pk"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", Text, primary_key=True, comment="the call's id, ~ and its number"),
    Column("call_id", Text, nullable=False),
    Column("number", Integer, nullable=False, comment="which one of its call, from 1"),
    Column("request_pk", _PK, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("was_nano", BigInteger, comment="null: nothing had priced it"),
    Column("cost_nano", BigInteger, nullable=False, comment="what is added; may be below zero"),
    Column("price_source", Text, nullable=False),
    Column("price_version", Text, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("call_id", "number"),
    Index("corrections_at", "at"),
    comment="calls that were priced anew: differences, booked on the day of the correction",
)

daily_corrections = Table(
    "daily_corrections",
    metadata,
    Column("pk", _PK, primary_key=True, autoincrement=True),
    Column("date", Text, nullable=False, comment="UTC day, YYYY-MM-DD"),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("calls", BigInteger, nullable=False, comment="here and below: what was added; may be below zero"),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False, comment="which has found it"),
    Column("at", Double, nullable=False),
    Index("daily_corrections_date", "date"),
    comment="sums of days that were not those of their calls",
)

leaders = Table(
    "leaders",
    metadata,
    Column("role", Text, primary_key=True),
    Column("owner", Text, comment="a worker, who leads as long as it lives"),
    Column("since", Double, nullable=False),
    comment="what one process at a time does",
)
