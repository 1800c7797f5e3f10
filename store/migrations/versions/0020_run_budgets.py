"""What a run may spend. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """See `store/runs/money.py`."""
    op.add_column("runs", sa.Column("budget_nano", sa.BigInteger(), nullable=True, comment="null: nothing bounds it"))
    op.add_column(
        "runs",
        sa.Column(
            "over_budget",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="items that no budget had room for, once it has ended",
        ),
    )
    standing = sa.text("removed_at IS NULL")  # of runs there are ever more that have gone
    op.create_index("budgets_standing", "budgets", ["id"], sqlite_where=standing, postgresql_where=standing)
