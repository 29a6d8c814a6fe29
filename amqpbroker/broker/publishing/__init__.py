"""Checks and changes of a message before it is routed."""
