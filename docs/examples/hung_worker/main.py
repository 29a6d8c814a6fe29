"""A message goes to another worker when the first one hangs, although its connection stays open.

Ann hangs in the middle of a report. Her lock runs out, and Bob receives the report. Carl's report takes longer than the
lock, so he renews it while he works.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
LOCK_MS = 1000


class Worker:
    def __init__(self, name):
        self.name = name
        self.connection = pika.BlockingConnection(pika.URLParameters(URL))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def begin(self):
        """Receive a report, and return its delivery tag."""
        while True:
            method, _, body = self.channel.basic_get("reports")
            if method is not None:
                print(f"{self.name}: begins {body.decode()}{' again' if method.redelivered else ''}")
                return method.delivery_tag
            self.connection.sleep(0.05)

    def work(self, tag, seconds):
        """Process the report, and renew its lock every half second."""
        for _ in range(round(seconds * 2)):
            self.connection.sleep(0.5)
            renewal = pika.BasicProperties(headers={"x-delivery-tag": tag})
            self.channel.basic_publish("", "amq.renew-lock", b"", renewal, mandatory=True)

    def finish(self, tag):
        self.channel.basic_ack(tag)
        print(f"{self.name}: finished")


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        lock = {"x-consumer-timeout": LOCK_MS, "x-consumer-timeout-action": "return"}
        channel.queue_declare("reports", durable=True, arguments=lock)
        ann, bob, carl = (Worker(name) for name in ("Ann", "Bob", "Carl"))

        channel.basic_publish("", "reports", b"the yearly report")
        late = ann.begin()
        print("Ann hangs")
        bob.finish(bob.begin())
        ann.finish(late)  # too late, and without effect

        channel.basic_publish("", "reports", b"the long report")
        tag = carl.begin()
        carl.work(tag, seconds=3)
        carl.finish(tag)

        left = channel.queue_declare("reports", passive=True).method.message_count
        print(f"{left} reports are left")
        channel.queue_delete("reports")
        for worker in (ann, bob, carl):
            worker.connection.close()


if __name__ == "__main__":
    main()
