"""The data directory: its owner and its contents."""
