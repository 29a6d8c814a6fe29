"""Several brokers that share the vhosts of one database: leadership, placement, relayed clients, and requests."""
