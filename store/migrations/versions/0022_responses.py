"""Responses that can be asked for again, and pieces of their answers that stay. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """See `store/ledger/responses.py` and `store/ledger/pieces.py`."""
    told = "of /v1/responses: stored, resumable, deleted; null: it cannot be asked for there"
    op.add_column("requests", sa.Column("response", sa.Text(), nullable=True, comment=told))
    kept = "the generation, of those that stay for whoever comes back; null: taken away when read"
    op.add_column("pieces", sa.Column("kept", sa.Integer(), nullable=True, comment=kept))
    op.create_index("pieces_at", "pieces", ["at"])
