"""The command line: `amqpbroker` and its subcommands."""
