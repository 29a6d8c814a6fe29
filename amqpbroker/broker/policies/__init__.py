"""Policies, operator policies, limits and runtime parameters."""
