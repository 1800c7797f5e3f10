"""Steps of pipelines. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_RUN = ("tenant", "run_id")


def upgrade() -> None:
    """See `store/runs/steps.py`."""
    op.create_table(
        "run_plans",
        *_keys(),
        sa.Column(
            "body",
            sa.LargeBinary(),
            nullable=False,
            comment="JSON, zlib: the definition as it was then, and the inputs",
        ),
        sa.PrimaryKeyConstraint(*_RUN),
    )
    op.create_table(
        "run_steps",
        *_keys(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="its place in the definition, from 0"),
        sa.Column("use", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True, comment="items; null: not known before it begins"),
        _count("fed", "how many of them are requests, or done"),
        _count("passed", "of these: for which there was nothing to do"),
        _count("succeeded"),
        _count("failed", "cancelled and expired ones too"),
        _count("cost_nano"),
        _count("tokens"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed"),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint(*_RUN, "name"),
    )
    op.create_table(
        "run_outputs",
        *_keys(),
        sa.Column("step", sa.Text(), nullable=False, comment="empty: the run's own result"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="of the item, from 0"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="JSON, zlib"),
        sa.PrimaryKeyConstraint(*_RUN, "step", "number"),
    )


def _keys() -> list[sa.Column[str]]:
    return [sa.Column("tenant", sa.Text(), nullable=False), sa.Column("run_id", sa.Text(), nullable=False)]


def _count(name: str, comment: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment)
