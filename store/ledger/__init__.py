"""The ledger: what is known of every request, and the only place where that changes.

`types` are the words, `policy` decides (pure), the others are transactions: plain functions of a connection, one per
event of the state table in `docs/explanation/life-of-a-request.md`; `writer` runs whatever waits in one commit.
"""
