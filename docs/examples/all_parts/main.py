"""Know when all parts are done: each image is a member of a batch, and the broker tells when all of them are done.

Neither the workers nor anybody else counts. An image counts when both queues have processed it. A repeated publish and
a redelivery change nothing, because each image has a message id.
"""

import json
import os
import urllib.request
import uuid
from base64 import b64encode

import pika
from album import IMAGES, TASKS, URL, Album, declare, delete, start_workers

MANAGEMENT_URL = os.environ.get("MANAGEMENT_URL", "http://localhost:15672")


def upload(channel):
    """Publish all images as a batch, the first one twice, as after a lost confirm."""
    headers = {
        "x-batch-id": f"album-{uuid.uuid4()}",
        "x-batch-size": len(IMAGES),
        "x-batch-routing-key": "albums",
        "x-batch-events": "complete,success,death",
    }
    for image in (IMAGES[0], *IMAGES):
        properties = pika.BasicProperties(delivery_mode=2, message_id=image, headers=headers)
        channel.basic_publish("images", "", image.encode(), properties, mandatory=True)
    print(f"uploader: {len(IMAGES)} images for {len(TASKS)} queues, the first one twice")


def next_event(channel):
    """Wait for the next message about the album, and show it."""
    for method, _, body in channel.consume("albums", inactivity_timeout=30):
        if method is None:
            raise TimeoutError("no message about the album")
        channel.basic_ack(method.delivery_tag)
        album = json.loads(body)
        failed = [f"{failure['message_id']} in {failure['queue']}" for failure in album["failures"]]
        if album["event"] == "death":
            print(f"album: the first failure: {failed[0]}")
        else:
            print(f"album: {album['event']}, {album['ok']} images succeeded, failed: {', '.join(failed) or 'none'}")
        break
    channel.cancel()


def redrive(queue):
    """Move all dead letters back to the queues in which they died."""
    headers = {"Authorization": f"Basic {b64encode(b'guest:guest').decode()}", "Content-Type": "application/json"}
    url = f"{MANAGEMENT_URL}/api/queues/%2F/{queue}/redrive"
    urllib.request.urlopen(urllib.request.Request(url, b"{}", headers)).close()
    print("the worker is repaired, and the dead letter is redriven")


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        declare(channel)
        channel.queue_declare("albums", durable=True)

        album = Album()
        upload(channel)
        stop_workers = start_workers(album)
        next_event(channel)
        next_event(channel)
        album.show_incidents()
        album.show_missing()

        album.repair()
        redrive("images.dead")
        next_event(channel)
        stop_workers()
        album.show_missing()

        channel.queue_delete("albums")
        delete(channel)


if __name__ == "__main__":
    main()
