"""What is told of a run when it ends, its pace, and whether its upload was whole. Only added: an older program goes on beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """See `store/runs/`."""
    op.add_column(
        "runs",
        sa.Column(
            "per_s", sa.Double(), nullable=True, comment="items that ended per second of late; null: not known yet"
        ),
    )
    op.add_column(
        "runs",
        sa.Column(
            "broken_off",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="its upload ended in the middle",
        ),
    )
    op.add_column("runs", sa.Column("content_hash", sa.LargeBinary(), nullable=True, comment="of what was uploaded"))
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True, comment="gone when it is delivered or given up"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=True, comment="the next try; null: delivered or given up"),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("delivered_at", sa.Double(), nullable=True),
        sa.Column("said", sa.Text(), nullable=True, comment="how the last try ended"),
        sa.PrimaryKeyConstraint("id"),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("deliveries_due", "deliveries", ["due_at"], sqlite_where=due, postgresql_where=due)
    op.create_index("deliveries_run", "deliveries", ["tenant", "run_id", "created_at"])
    _files()


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="uploading, processed, deleted"),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_table(
        "file_parts",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="zlib"),
        sa.PrimaryKeyConstraint("tenant", "file_id", "number"),
    )
    op.create_index("files_created", "files", ["tenant", "created_at", "id"])
