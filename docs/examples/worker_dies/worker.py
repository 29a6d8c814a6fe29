"""Write the reports of the queue `reports`, forever.

usage: worker.py NAME SECONDS_PER_REPORT
"""

import os
import sys
import time

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main(name, seconds):
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)  # leaves other reports to other workers
        print(f"{name}: here", flush=True)
        for method, _properties, body in channel.consume("reports"):
            # No other worker receives this report while this connection is open and the report is unacknowledged.
            again = " again" if method.redelivered else ""
            print(f"{name}: begins {body.decode()}{again}", flush=True)
            time.sleep(seconds)
            channel.basic_ack(method.delivery_tag)
            print(f"{name}: finished {body.decode()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
