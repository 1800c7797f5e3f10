"""Up to when the old has gone."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Only added."""
    op.create_table(
        "pruned",
        sa.Column("kind", sa.Text(), primary_key=True, comment="bodies, journal, positions"),
        sa.Column("before", sa.Double(), nullable=False, comment="what is older may have gone"),
    )
