"""Relayed connections: clients whose vhosts other brokers lead."""
