"""Logs of streams: append-only segments of messages, each with an index, read by any number of readers."""
