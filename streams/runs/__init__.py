"""Runs: `KINDS` says which there are; their items are requests of the ledger, and nothing is called by another way."""
