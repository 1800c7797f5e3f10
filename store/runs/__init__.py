"""Runs in SQL: what was asked for as one, how far its items are, and what came out of it. Its items are requests like others."""
