"""Event sourcing: a bank stores events in a stream, and read models are built by reading it.

The bank has no database. When it starts again, it reads its state from the stream. A read model that was stopped
continues at its offset, and a read model that is added later reads all events from the first one on.
"""

import pika
from bank import STREAM, URL, Balances, Bank, Reader, Turnover


def update(connection, name, model, end):
    """Make a read model read the events before an offset."""
    start = model.next
    reader = Reader(connection, model)
    reader.read_until(lambda offset, message_id: offset == end - 1)
    reader.close()
    print(f"{name}: began at offset {start}, is at {model.next}: {model}")


def main():
    bank = Bank()
    bank.open("Ann")
    bank.deposit("Ann", 100)
    bank.open("Bob")
    bank.deposit("Bob", 50)
    bank.withdraw("Ann", 30)
    bank.withdraw("Bob", 80)

    connection = pika.BlockingConnection(pika.URLParameters(URL))
    balances = Balances()
    update(connection, "balances", balances, bank.state.next)

    bank.stop()
    bank = Bank()
    print(f"bank: started again, replayed {bank.replayed} events: {bank.state}")
    bank.deposit("Bob", 40)
    bank.withdraw("Bob", 80)
    update(connection, "balances", balances, bank.state.next)

    turnover = Turnover()
    update(connection, "turnover, added later", turnover, bank.state.next)
    bank.deposit("Ann", 5)
    update(connection, "balances", balances, bank.state.next)
    update(connection, "turnover", turnover, bank.state.next)

    bank.stop()
    connection.channel().queue_delete(STREAM)
    connection.close()


if __name__ == "__main__":
    main()
