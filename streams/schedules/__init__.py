"""Schedules: which run is submitted when. One process leads; a firing cannot happen twice whoever leads."""
