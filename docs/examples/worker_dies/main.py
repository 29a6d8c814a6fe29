"""A message belongs to the worker that processes it, and goes to another worker when the first one crashes.

Ann is killed in the middle of a report, as in a power failure. She had not acknowledged it, so the broker delivers it
to Bob, marked as redelivered: part of the work may be done already.
"""

import os
import subprocess
import sys
from pathlib import Path

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

WORKER = Path(__file__).with_name("worker.py")


def start_worker(name, seconds_per_report):
    command = [sys.executable, str(WORKER), name, str(seconds_per_report)]
    environment = os.environ | {"AMQP_URL": URL}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def listen(worker, *, until):
    """Print the worker's output up to the expected line."""
    for line in worker.stdout:
        print(line, end="")
        if until in line:
            return
    raise RuntimeError(f"the worker ended before it said {until!r}")


def end(worker):
    worker.kill()
    worker.communicate()


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("reports", durable=True)
        channel.basic_publish("", "reports", b"the yearly report", pika.BasicProperties(delivery_mode=2))

        ann = start_worker("Ann", seconds_per_report=600)
        listen(ann, until="begins")
        bob = start_worker("Bob", seconds_per_report=0)
        listen(bob, until="here")  # receives nothing yet
        end(ann)
        print("Ann is gone")
        listen(bob, until="finished")
        end(bob)

        channel.queue_delete("reports")


if __name__ == "__main__":
    main()
