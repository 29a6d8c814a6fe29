"""Fates of the copies of marked messages."""
