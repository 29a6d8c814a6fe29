"""Random scripts of client operations, each run on two brokers whose answers must be the same."""
