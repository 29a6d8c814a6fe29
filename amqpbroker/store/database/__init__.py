"""The store in a PostgreSQL database: files, definitions, and the leadership that fences off other brokers."""
