"""Schedules in SQL: what is planned, what was fired last, and who leads."""
