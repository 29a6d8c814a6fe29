"""Run the command `amqpbroker` as `python -m amqpbroker`."""

from amqpbroker.cli.main import main

if __name__ == "__main__":
    main(prog_name="amqpbroker")
