"""The registry's tables. `prompts.tenant` is empty for those that come with the program."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text

from store.tables.base import PK, metadata

_SINCE = "of the registry, which had it from then on; 0: from before they were kept"

prompts = Table(
    "prompts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False, comment="empty: it comes with the program"),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("tags", Text, nullable=False, comment="a JSON list"),
    Column("is_system", Boolean, nullable=False),
    Column("is_public", Boolean, nullable=False, comment="other tenants may use it by its id"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("archived_at", Double),
    Column("archived_revision", BigInteger, comment="of the registry, by which it was put away"),
    Column("latest", Integer, nullable=False, comment="the newest version"),
    Column("revision", Integer, nullable=False, comment="counts every change; what If-Match names"),
    Index("prompts_slug", "tenant", "slug", unique=True),
    Index("prompts_updated", "updated_at", "id"),
)

prompt_versions = Table(
    "prompt_versions",
    metadata,
    Column("prompt_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False, comment="JSON: templates, variables, schemas, preferences, notes"),
    Column("source", LargeBinary, comment="JSON: the templates as they were written, where they include others"),
    Column("digest", Text, nullable=False),
    Column("origin", Integer, comment="its number in the file that it comes from"),
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default="0", comment=_SINCE),
    Index("prompt_versions_revision", "revision"),
)

prompt_labels = Table(
    "prompt_labels",
    metadata,
    Column("prompt_id", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("arms", Text, nullable=False, comment="a JSON list of [version, weight]"),
    Column("moved_at", Double, nullable=False),
    Column("moved_by", Text, nullable=False),
)

prompt_moves = Table(
    "prompt_moves",
    metadata,
    Column("pk", PK, primary_key=True, autoincrement=True),
    Column("prompt_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("before", Text, comment="arms; null: it was not there"),
    Column("after", Text, comment="arms; null: it was taken away"),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default="0", comment=_SINCE),
    Index("prompt_moves_label", "prompt_id", "label", "at"),
    Index("prompt_moves_revision", "revision"),
    sqlite_autoincrement=True,
)

revisions = Table(
    "revisions",
    metadata,
    Column("what", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="counts every change of it, so that a look at it is cheap"),
)
