"""What a request was accepted with, and how far long calls are. Only added: an older program goes on beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """On PostgreSQL the second one keeps no log: it is written each second and may be lost."""
    op.add_column(
        "requests",
        sa.Column(
            "pinned",
            sa.Text(),
            nullable=True,
            comment="what was settled at acceptance and must not change until it is run",
        ),
    )
    op.create_table(
        "generating",
        sa.Column(
            "request_pk", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="of the lease that says so"),
        sa.Column("tokens", sa.BigInteger(), nullable=False, comment="of all answers so far"),
        sa.Column("calls", sa.Integer(), nullable=False, comment="how many were begun"),
        sa.Column("since", sa.Double(), nullable=False, comment="when the one that runs was begun"),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request_pk"),
        comment="how far long calls are; may be lost at any time",
        prefixes=["UNLOGGED"] if op.get_bind().dialect.name == "postgresql" else [],
    )
