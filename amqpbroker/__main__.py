"""`python -m amqpbroker` is the same as `amqpbroker`."""

from amqpbroker.cli.main import main

if __name__ == "__main__":
    main(prog_name="amqpbroker")
