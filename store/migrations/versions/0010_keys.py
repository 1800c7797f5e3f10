"""Keys of callers, and whose key brought a request. Only added: an older program goes on beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_KEYED = sa.text("key_id IS NOT NULL AND completed_at IS NULL")


def upgrade() -> None:
    """See `store/keys.py`."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="stays the same when the key is rotated"),
        sa.Column("prefix", sa.Text(), nullable=False, comment="what may be shown of the key; it is found by it"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the whole key"),
        sa.Column("old_prefix", sa.Text(), nullable=True, comment="of the key before the last rotation"),
        sa.Column("old_digest", sa.LargeBinary(), nullable=True),
        sa.Column("old_until", sa.Double(), nullable=True, comment="until then that one works too"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True, comment="null: it may name any"),
        sa.Column("scopes", sa.LargeBinary(), nullable=False, comment="JSON: operations, models, lanes, admin"),
        sa.Column("rpm", sa.Integer(), nullable=True, comment="requests a minute"),
        sa.Column("tpm", sa.BigInteger(), nullable=True, comment="tokens a minute, by upper estimates"),
        sa.Column("concurrency", sa.Integer(), nullable=True, comment="unfinished requests at a time"),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("rotated_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column(
            "used_at", sa.Double(), nullable=True, comment="about when it was used last; written behind the requests"
        ),
        sa.Column(
            "version", sa.BigInteger(), nullable=False, comment="another number after each change; see store/keys.py"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prefix"),
        sa.UniqueConstraint("old_prefix"),
    )
    op.add_column("requests", sa.Column("key_id", sa.Text(), nullable=True, comment="whose key brought it over HTTP"))
    op.create_index("requests_key", "requests", ["key_id"], sqlite_where=_KEYED, postgresql_where=_KEYED)
