"""Leadership of logs: which broker writes which log, and which brokers there are."""
