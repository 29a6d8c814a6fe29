"""An album of images, and the workers that process it. The programs of this folder share them.

Each image goes to two queues: workers of one make thumbnails, and workers of the other read metadata. Two things go
wrong. A worker crashes after it has done its work, and before its acknowledgement, so the message is delivered again.
And a worker cannot read an image, so it rejects the message.
"""

import os
import threading

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

IMAGES = [f"{number:02}.jpg" for number in range(20)]
TASKS = ("thumbnails", "metadata")
#: Task of each worker that runs.
WORKERS = ("thumbnails", "thumbnails", "metadata")
UNREADABLE = "13.jpg"
CRASHES_AFTER = "03.jpg"
POLL_S = 0.02


class CrashError(Exception):
    """A worker crashes."""


class Album:
    """Results of the tasks, and everything that has gone wrong. Real results are in files or in a database."""

    def __init__(self, *, has_faults=True):
        self.results = {task: set() for task in TASKS}
        self.incidents = []
        self._can_read_all = not has_faults
        self._can_crash = has_faults

    def process(self, task, image):
        """Store the result of a task for an image. Raises ValueError if the image cannot be read."""
        if task == "thumbnails" and image == UNREADABLE and not self._can_read_all:
            self.incidents.append(f"{task}: cannot read {image}")
            raise ValueError(image)
        self.results[task].add(image)

    def crash(self, task, image):
        """Raise CrashError once, for one image."""
        if task == "metadata" and image == CRASHES_AFTER and self._can_crash:
            self._can_crash = False
            self.incidents.append(f"{task}: crashed after {image}, before the acknowledgement")
            raise CrashError

    def repair(self):
        """Make all images readable."""
        self._can_read_all = True

    def show_incidents(self):
        for incident in sorted(self.incidents):
            print(incident)

    def show_missing(self):
        missing = [f"{task} of {image}" for task in TASKS for image in IMAGES if image not in self.results[task]]
        print(f"missing in the album: {', '.join(missing) or 'nothing'}")


def declare(channel):
    """Declare the exchange, a queue for each task, and the dead letter queue. Return the names of the queues."""
    channel.exchange_declare("images", "fanout", durable=True)
    channel.queue_declare("images.dead", durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "images.dead"}
    for task in TASKS:
        channel.queue_declare(f"images.{task}", durable=True, arguments=arguments)
        channel.queue_bind(f"images.{task}", "images")


def delete(channel):
    for name in (*TASKS, "dead"):
        channel.queue_delete(f"images.{name}")
    channel.exchange_delete("images")


def start_workers(album, report=lambda channel, task, image: None):
    """Start all workers, and return a function that stops them.

    report(channel, task, image): called after the work for an image, and before its acknowledgement.
    """
    stop = threading.Event()
    workers = [threading.Thread(target=run_worker, args=(task, album, report, stop)) for task in WORKERS]
    for worker in workers:
        worker.start()

    def stop_workers():
        stop.set()
        for worker in workers:
            worker.join()

    return stop_workers


def run_worker(task, album, report, stop):
    """Process images. A worker that crashes is started again."""

    def handle(channel, method, properties, body):
        image = body.decode()
        try:
            album.process(task, image)
        except ValueError:
            channel.basic_reject(method.delivery_tag, requeue=False)
            return
        report(channel, task, image)
        album.crash(task, image)
        channel.basic_ack(method.delivery_tag)

    while not stop.is_set():
        try:
            with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.basic_qos(prefetch_count=1)
                channel.basic_consume(f"images.{task}", handle)
                while not stop.is_set():
                    connection.process_data_events(time_limit=POLL_S)
        except CrashError:
            continue
