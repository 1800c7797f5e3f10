"""SQL: the ledger of every request, the journal of every call, the costs of every day."""
