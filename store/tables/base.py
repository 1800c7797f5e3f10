"""What all tables stand on: their one `metadata`, and the type of a row's number, which SQLite counts only as INTEGER."""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData()

PK = BigInteger().with_variant(Integer(), "sqlite")
