"""Know when all parts are done: an image is cut into parts, which two workers process; then it is put together.

The parts are members of a batch. When the last part is acknowledged, the broker sends a message to the queue
"assemble". The cutter repeats a part, as after a lost confirm; because of its message id, the part counts once.
"""

import json
import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
PARTS = 4


def cut(channel, image):
    """Publish the parts of an image."""
    for number in range(PARTS):
        publish(channel, image, number)
    publish(channel, image, 0)
    print(f"cutter: {PARTS} parts of {image}, the first one twice")


def publish(channel, image, number):
    headers = {"x-batch-id": image, "x-batch-size": PARTS, "x-batch-routing-key": "assemble"}
    properties = pika.BasicProperties(delivery_mode=2, message_id=f"{image}/{number}", headers=headers)
    channel.basic_publish("", "parts", f"part {number} of {image}".encode(), properties)


def work(channel, workers):
    """Process all parts: each worker takes the next one in turn."""
    count = 0
    while True:
        method, _, body = channel.basic_get("parts")
        if method is None:
            return
        print(f"{workers[count % len(workers)]}: {body.decode()}")
        channel.basic_ack(method.delivery_tag)
        count += 1


def assemble(channel):
    """Put the image together when the broker says that all its parts are done."""
    for method, _, body in channel.consume("assemble", inactivity_timeout=5):
        if method is None:
            raise TimeoutError("the image is not complete")
        batch = json.loads(body)
        print(f"assembler: {batch['id']} is complete: {batch['ok']} parts succeeded, {batch['failed']} failed")
        channel.basic_ack(method.delivery_tag)
        channel.cancel()
        return


def main():
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    for queue in ("parts", "assemble"):
        channel.queue_declare(queue, durable=True)

    cut(channel, "moon.png")
    work(channel, ("worker 1", "worker 2"))
    assemble(channel)

    for queue in ("parts", "assemble"):
        channel.queue_delete(queue)
    connection.close()


if __name__ == "__main__":
    main()
