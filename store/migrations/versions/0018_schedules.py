"""Schedules, who leads, runs that are no requests, and what was put right of days. Only added: an older program goes on beside it.

A migration is one list of statements, read from top to bottom; that is why `upgrade` is long.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """See `store/schedules/`, `store/leading.py`, `store/runs/jobs.py` and `store/ledger/rollup.py`."""
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="file, api"),
        sa.Column("said", sa.LargeBinary(), nullable=False, comment="JSON: see schemas/schedules.py"),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column(
            "next_at",
            sa.Double(),
            nullable=True,
            comment="the first planned firing that nobody has looked at; null: paused, or never again",
        ),
        sa.Column(
            "queued_at", sa.Double(), nullable=True, comment="a planned firing that waits for the end of the run before"
        ),
        sa.Column("last_planned_at", sa.Double(), nullable=True),
        sa.Column("last_fired_at", sa.Double(), nullable=True),
        sa.Column("last_tenant", sa.Text(), nullable=True),
        sa.Column("last_run_id", sa.Text(), nullable=True),
        sa.Column("fired", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False, comment="left out since the run before went on"),
        sa.Column("missed", sa.BigInteger(), nullable=False, comment="fell due while nobody ran"),
        sa.Column("failed", sa.BigInteger(), nullable=False, comment="could not be submitted"),
        sa.Column("error", sa.Text(), nullable=True, comment="why the last firing could not be submitted"),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="another number after each change"),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "leaders",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True, comment="a worker, who leads as long as it lives"),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("role"),
        comment="what one process at a time does",
    )
    op.create_table(
        "jobs",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("params", sa.LargeBinary(), nullable=False, comment="JSON"),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True, comment="JSON, once it has ended"),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "run_id"),
        comment="runs that are no requests: the program's own work",
    )
    op.create_index("jobs_ended", "jobs", ["ended_at"])
    _corrections()


def _corrections() -> None:
    added = "here and below: what was added; may be below zero"
    op.create_table(
        "daily_corrections",
        sa.Column("pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("date", sa.Text(), nullable=False, comment="UTC day, YYYY-MM-DD"),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False, comment=added),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_calls", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False, comment="which has found it"),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        comment="sums of days that were not those of their calls",
    )
    op.create_index("daily_corrections_date", "daily_corrections", ["date"])
