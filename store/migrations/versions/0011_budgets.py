"""Budgets, what is reserved and spent of them, and what a call's price hung on. Only added.

A migration is one list of statements, read from top to bottom; that is why `upgrade` is long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_PK = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ZERO = sa.text("0")
_HOLDING = sa.text("budget_nano IS NOT NULL AND completed_at IS NULL")


def upgrade() -> None:
    """See `store/ledger/budgets.py` and `store/ledger/corrections.py`."""
    op.create_table(
        "budgets",
        sa.Column("id", _PK, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.Text(), nullable=False, comment="whose requests; empty: everybody's"),
        sa.Column("key_id", sa.Text(), nullable=False, comment="empty: whatever key brought them"),
        sa.Column("model", sa.Text(), nullable=False, comment="provider/model or provider/*; empty: any"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="empty: of any run or none"),
        sa.Column("period", sa.Text(), nullable=False, comment="day, month, total"),
        sa.Column("limit_nano", sa.BigInteger(), nullable=False),
        sa.Column("hard", sa.Boolean(), nullable=False, comment="false: it only counts"),
        sa.Column("unpriced", sa.Boolean(), nullable=False, comment="lets calls pass that nothing prices"),
        sa.Column("since", sa.Double(), nullable=False, comment="when the period began that is counted here"),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), nullable=False),
        sa.Column("overrun_nano", sa.BigInteger(), nullable=False, comment="of it what calls cost above their hold"),
        sa.Column("unpriced_calls", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False, comment="requests that did not fit"),
        sa.Column("told", sa.SmallInteger(), nullable=False, comment="the share in percent that was told of last"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="of the whole table, when it was changed last"),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("removed_at", sa.Double(), nullable=True),
        sa.UniqueConstraint("tenant", "key_id", "model", "run_id", "period"),
        sa.UniqueConstraint("version"),
    )
    op.create_table(
        "budget_moves",
        sa.Column("pk", _PK, primary_key=True, autoincrement=True),
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), nullable=False),
        sa.Column("overrun_nano", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_calls", sa.BigInteger(), nullable=False),
        comment="what has changed of budgets and is not added to them yet",
    )
    op.create_index("budget_moves_budget", "budget_moves", ["budget_id"])
    op.create_table(
        "budget_history",
        sa.Column("pk", _PK, primary_key=True, autoincrement=True),
        sa.Column("budget_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False, comment="set, removed, 50, 80, 100, period"),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("limit_nano", sa.BigInteger(), nullable=False),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
    )
    op.create_index("budget_history_budget", "budget_history", ["budget_id", "pk"])
    op.create_table(
        "corrections",
        sa.Column("id", sa.Text(), primary_key=True, comment="the call's id, ~ and its number"),
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="which one of its call, from 1"),
        sa.Column("request_pk", _PK, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("was_nano", sa.BigInteger(), nullable=True, comment="null: nothing had priced it"),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False, comment="what is added; may be below zero"),
        sa.Column("price_source", sa.Text(), nullable=False),
        sa.Column("price_version", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.UniqueConstraint("call_id", "number"),
        comment="calls that were priced anew: differences, booked on the day of the correction",
    )
    op.create_index("corrections_at", "corrections", ["at"])
    op.add_column(
        "requests", sa.Column("budgets", sa.Text(), nullable=True, comment="under which it holds budget_nano")
    )
    op.create_index("requests_holding", "requests", ["budgets"], sqlite_where=_HOLDING, postgresql_where=_HOLDING)
    op.add_column(
        "executions", sa.Column("budgets", sa.Text(), nullable=True, comment="under which its cost is counted")
    )
    op.add_column("executions", sa.Column("cache_write_tokens", sa.Integer(), nullable=False, server_default=_ZERO))
    op.add_column("executions", sa.Column("reasoning_tokens", sa.Integer(), nullable=False, server_default=_ZERO))
    op.add_column("executions", sa.Column("tier", sa.Text(), nullable=True, comment="as the provider said it"))
