"""A bank whose accounts are a stream of events, and read models that are built from the events."""

import json
import os
import uuid

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

STREAM = "bank.events"


def declare(channel):
    channel.queue_declare(STREAM, durable=True, arguments={"x-queue-type": "stream"})


class Balances:
    """Read model: the balance of each account. next: offset of the next event, stored with the balances."""

    def __init__(self):
        self.next = 0
        self.accounts = {}

    def apply(self, event):
        if event["type"] == "opened":
            self.accounts[event["account"]] = 0
        elif event["type"] == "deposited":
            self.accounts[event["account"]] += event["amount"]
        elif event["type"] == "withdrawn":
            self.accounts[event["account"]] -= event["amount"]

    def __str__(self):
        return ", ".join(f"{account} {balance}" for account, balance in self.accounts.items())


class Turnover:
    """Read model: how much was deposited and withdrawn in all."""

    def __init__(self):
        self.next = 0
        self.deposited = 0
        self.withdrawn = 0

    def apply(self, event):
        if event["type"] == "deposited":
            self.deposited += event["amount"]
        elif event["type"] == "withdrawn":
            self.withdrawn += event["amount"]

    def __str__(self):
        return f"{self.deposited} deposited, {self.withdrawn} withdrawn"


class Reader:
    """Reads the stream for a model, from the next event of the model on."""

    def __init__(self, connection, model):
        self._channel = connection.channel()
        self._channel.basic_qos(prefetch_count=100)
        self._model = model
        self._messages = self._channel.consume(STREAM, arguments={"x-stream-offset": model.next})

    def read_until(self, is_last):
        """Apply events until `is_last(offset, message_id)` is true."""
        for method, properties, body in self._messages:
            offset = properties.headers["x-stream-offset"]
            self._model.apply(json.loads(body))
            self._model.next = offset + 1
            self._channel.basic_ack(method.delivery_tag)
            if is_last(offset, properties.message_id):
                break

    def close(self):
        self._channel.close()


class Bank:
    """Accepts commands. Each accepted command appends an event; the state is built from the events only.

    There is one bank at a time: two of them could accept withdrawals that together are more than the balance.
    """

    def __init__(self):
        self._connection = pika.BlockingConnection(pika.URLParameters(URL))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()  # basic_publish now returns when the event is on the disk
        declare(self._channel)
        self.state = Balances()
        self._reader = Reader(self._connection, self.state)
        # The bank knows all earlier events once it has read its own one.
        self._append(type="started")
        self.replayed = self.state.next - 1

    def open(self, account):
        self._append(type="opened", account=account)
        print(f"bank: opened an account for {account}")

    def deposit(self, account, amount):
        self._append(type="deposited", account=account, amount=amount)
        print(f"bank: {account} deposited {amount}")

    def withdraw(self, account, amount):
        balance = self.state.accounts[account]
        if balance < amount:
            print(f"bank: {account} cannot withdraw {amount}, the balance is {balance}")
            return
        self._append(type="withdrawn", account=account, amount=amount)
        print(f"bank: {account} withdrew {amount}")

    def _append(self, **event):
        """Append an event, and read until it comes back."""
        event_id = str(uuid.uuid4())
        properties = pika.BasicProperties(message_id=event_id, delivery_mode=2)
        self._channel.basic_publish("", STREAM, json.dumps(event).encode(), properties)
        self._reader.read_until(lambda offset, message_id: message_id == event_id)

    def stop(self):
        self._connection.close()
