"""Where messages and definitions are kept."""
