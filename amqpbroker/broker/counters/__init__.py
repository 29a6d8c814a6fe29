"""Counters of events, their rates and their history."""
