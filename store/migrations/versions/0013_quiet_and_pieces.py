"""Requests of which only their caller is told, and answers that are read along. Only added."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_PK = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """See `store/ledger/answers.py` (letters) and `store/ledger/pieces.py`."""
    no = sa.text("false")
    told = "only its caller is told its answer"
    op.add_column("requests", sa.Column("quiet", sa.Boolean(), nullable=False, server_default=no, comment=told))
    op.add_column(
        "requests",
        sa.Column("streamed", sa.Boolean(), nullable=False, server_default=no, comment="its caller reads along"),
    )
    op.create_table(
        "pieces",
        sa.Column("request_pk", _PK, autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the lease that made them"),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="from 0, without a gap"),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="JSON: what came since the number before"),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request_pk", "fence", "number"),
        comment="of answers that a caller of another process reads along; taken away when they are read; may be lost",
    )
