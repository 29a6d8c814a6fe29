"""Run the command `amqpbroker` as `python -m amqpbroker`."""

from amqpbroker.cli.entry import main

if __name__ == "__main__":
    main()
