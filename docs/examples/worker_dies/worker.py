"""Makes the reports of the queue `reports`, for ever.

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
        channel.basic_qos(prefetch_count=1)  # takes no report that another worker could begin now
        print(f"{name}: here", flush=True)
        for method, _properties, body in channel.consume("reports"):
            # From now on nobody else gets this report, as long as this connection lives or until it is acknowledged.
            again = " again" if method.redelivered else ""
            print(f"{name}: begins {body.decode()}{again}", flush=True)
            time.sleep(seconds)
            channel.basic_ack(method.delivery_tag)
            print(f"{name}: finished {body.decode()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
