"""The keys that callers come with over HTTP. Of a key itself there is only its digest."""

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, Table, Text

from store.tables.base import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="stays the same when the key is rotated"),
    Column("prefix", Text, nullable=False, unique=True, comment="what may be shown of the key; it is found by it"),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the whole key"),
    Column("old_prefix", Text, unique=True, comment="of the key before the last rotation"),
    Column("old_digest", LargeBinary),
    Column("old_until", Double, comment="until then that one works too"),
    Column("name", Text, nullable=False),
    Column("tenant", Text, comment="null: it may name any"),
    Column("scopes", LargeBinary, nullable=False, comment="JSON: operations, models, lanes, admin"),
    Column("rpm", Integer, comment="requests a minute"),
    Column("tpm", BigInteger, comment="tokens a minute, by upper estimates"),
    Column("concurrency", Integer, comment="unfinished requests at a time"),
    Column("made_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("rotated_at", Double),
    Column("revoked_at", Double),
    Column("used_at", Double, comment="about when it was used last; written behind the requests"),
    Column("version", BigInteger, nullable=False, comment="another number after each change; see store/keys.py"),
)
