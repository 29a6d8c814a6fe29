"""Know when all parts are done: the usual way with plain queues, which has a wrong result.

Each worker sends a result to the queue "finished", and a coordinator counts the results. A worker must send its result
before it acknowledges its message, since a crash between the two would lose the result. But then a crash between the
two doubles the result.
"""

import pika
from album import IMAGES, TASKS, URL, Album, declare, delete, start_workers


def upload(channel):
    """Publish all images."""
    for image in IMAGES:
        channel.basic_publish("images", "", image.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
    print(f"uploader: {len(IMAGES)} images for {len(TASKS)} queues")


def report(channel, task, image):
    """Tell the coordinator that a worker has finished an image."""
    channel.basic_publish("", "finished", f"{task} of {image}".encode(), pika.BasicProperties(delivery_mode=2))


def coordinate(channel, name, until):
    """Count results until there are enough for an album, or `until` of them if the coordinator crashes then."""
    expected = len(IMAGES) * len(TASKS)
    for results, (method, _, _) in enumerate(channel.consume("finished", inactivity_timeout=3), 1):
        if method is None:
            print(f"{name}: {results - 1} of {expected} results, and no more come")
            break
        channel.basic_ack(method.delivery_tag)
        if results == expected:
            print(f"{name}: {results} of {expected} results, the album is complete")
            break
        if results == until:
            print(f"{name}: {results} of {expected} results, crashed")
            break
    channel.cancel()


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        declare(channel)
        channel.queue_declare("finished", durable=True)

        # A result that is counted twice makes up for one that does not exist.
        album = Album()
        upload(channel)
        stop_workers = start_workers(album, report)
        coordinate(channel, "coordinator", until=None)
        stop_workers()
        album.show_incidents()
        album.show_missing()

        # A coordinator that crashes takes its count with it.
        album = Album(has_faults=False)
        upload(channel)
        stop_workers = start_workers(album, report)
        coordinate(channel, "coordinator", until=10)
        coordinate(channel, "next coordinator", until=None)
        stop_workers()
        album.show_missing()

        channel.queue_delete("finished")
        delete(channel)


if __name__ == "__main__":
    main()
