"""Tokens that a provider keeps for an hour cost more. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """So that a call can be priced anew."""
    column = sa.Column(
        "cache_write_1h_tokens",
        sa.Integer(),
        nullable=False,
        server_default=sa.text("0"),
        comment="of cache_write_tokens",
    )
    op.add_column("executions", column)
