"""The words between the engine, the doors and the ledger."""
