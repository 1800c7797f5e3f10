"""The ledger's first schema.

A migration is one list of statements, read from top to bottom; that is why `upgrade` is long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of `store.tables`; a test holds the two against each other."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute("CREATE SEQUENCE requests_pk_seq")
    op.create_table(
        "bodies",
        sa.Column(
            "request_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("value", sa.LargeBinary(), nullable=False, comment="the record's value, untouched"),
        sa.Column("headers", sa.LargeBinary(), nullable=False, comment="JSON: [[name, base64], ...]"),
        sa.PrimaryKeyConstraint("request_pk"),
    )
    op.create_table(
        "cancels",
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("identity"),
    )
    op.create_table(
        "daily_costs",
        sa.Column("date", sa.Text(), nullable=False, comment="UTC day, YYYY-MM-DD"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("date", "provider", "model", "tenant"),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("request_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="which call of the request, from 1"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("prompt_version", sa.Integer(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("estimate_tokens", sa.Integer(), nullable=False, comment="upper estimate of the input"),
        sa.Column("estimate_output", sa.Integer(), nullable=False),
        sa.Column("estimate_nano", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True, comment="null while open; ok, error, wasted"),
        sa.Column("input_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cached_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("gpu_seconds", sa.Double(), nullable=True),
        sa.Column("cost_nano", sa.BigInteger(), nullable=True, comment="null: nothing priced it"),
        sa.Column("price_source", sa.Text(), nullable=True),
        sa.Column("price_version", sa.Text(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True, comment="kept while another attempt may take it over"),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_executions_request_pk"), "executions", ["request_pk"], unique=False)
    op.create_table(
        "intake_progress",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("last_timestamp", sa.BigInteger(), nullable=False, comment="of the record at next_offset - 1"),
        sa.Column("committed_seen", sa.BigInteger(), nullable=False),
        sa.Column("replay_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "ledgers",
        sa.Column("id", sa.Text(), nullable=False, comment="a new ledger numbers its usage events anew"),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "numbers",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "outbox",
        sa.Column("pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True, comment="of a usage event: its place in its partition"),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_partition", "outbox", ["topic", "partition", "pk"], unique=False)
    op.create_table(
        "positions",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("request_pk", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", "timestamp"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "relays",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    op.create_table(
        "requests",
        sa.Column("pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("identity", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("paid", sa.Boolean(), nullable=False),
        sa.Column("on_ambiguous", sa.Text(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deaths_calling", sa.SmallInteger(), nullable=False),
        sa.Column("deaths_leased", sa.SmallInteger(), nullable=False),
        sa.Column("ambiguous", sa.SmallInteger(), nullable=False),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("supersede_key", sa.Text(), nullable=True),
        sa.Column("follows", sa.BigInteger(), nullable=True),
        sa.Column("ordered", sa.Boolean(), nullable=False),
        sa.Column("budget_nano", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("partition", sa.Integer(), nullable=True),
        sa.Column("source_topic", sa.Text(), nullable=True),
        sa.Column("source_partition", sa.Integer(), nullable=True),
        sa.Column("source_offset", sa.BigInteger(), nullable=True),
        sa.Column("source_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("requested_at", sa.Double(), nullable=False),
        sa.Column("accepted_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("identity"),
    )
    op.create_index(
        "requests_claimable",
        "requests",
        ["provider", "model", "lane", "pk"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting' AND not_before = 0"),
        postgresql_where=sa.text("state = 'waiting' AND not_before = 0"),
    )
    op.create_index(
        "requests_deadline",
        "requests",
        ["deadline"],
        unique=False,
        sqlite_where=sa.text("deadline IS NOT NULL AND state = 'waiting'"),
        postgresql_where=sa.text("deadline IS NOT NULL AND state = 'waiting'"),
    )
    op.create_index(
        "requests_delayed",
        "requests",
        ["not_before"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting' AND not_before > 0"),
        postgresql_where=sa.text("state = 'waiting' AND not_before > 0"),
    )
    op.create_index(
        "requests_owned",
        "requests",
        ["owner"],
        unique=False,
        sqlite_where=sa.text("owner IS NOT NULL"),
        postgresql_where=sa.text("owner IS NOT NULL"),
    )
    op.create_index(
        "requests_run",
        "requests",
        ["run_id"],
        unique=False,
        sqlite_where=sa.text("run_id IS NOT NULL"),
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )
    op.create_table(
        "results",
        sa.Column(
            "request_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the published result, JSON"),
        sa.Column("completed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request_pk", "generation"),
    )
    op.create_table(
        "run_cancels",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "run_id"),
    )
    op.create_table(
        "slots",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Boolean(), nullable=False, comment="kept from the batch lane"),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("provider", "model", "node", "number"),
    )
    op.create_index("slots_owner", "slots", ["owner"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    # ### end Alembic commands ###
