"""Seams for those who are told of events, or look on as messages come and go."""
