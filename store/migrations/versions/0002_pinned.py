"""What a request was accepted with: the version of a prompt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Nothing but a column that may be null: a program of the schema before goes on beside it."""
    op.add_column(
        "requests",
        sa.Column(
            "pinned",
            sa.Text(),
            nullable=True,
            comment="what was settled at acceptance and must not change until it is run",
        ),
    )
