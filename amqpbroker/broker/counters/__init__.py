"""Counters of what happens, the rates made of them, and their history."""
