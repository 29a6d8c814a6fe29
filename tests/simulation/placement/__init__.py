"""Many brokers that share many vhosts of one database: how they are placed while brokers come and go."""
