"""Following of what other brokers write: journals and definitions."""
