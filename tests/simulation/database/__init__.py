"""Several brokers with one simulated database engine, through a great number of takeovers."""
