"""Fan-out: one upload for three workers, which make a thumbnail, read metadata and recognise faces.

The web site that receives uploads knows one exchange, and none of the workers. A fourth worker needs only one more
queue: the other code does not change.
"""

import asyncio
import os

import aio_pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")

PHOTOS = ["beach.jpg", "cat.jpg"]

WORKERS = {
    "thumbnail": "resizes",
    "metadata": "reads time and place of",
    "recognition": "looks for faces in",
}


async def upload(connection, photo):
    """Announce a stored photo. Returns when the broker has confirmed the message."""
    async with connection.channel() as channel:
        uploads = await channel.get_exchange("uploads", ensure=False)
        message = aio_pika.Message(photo.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await uploads.publish(message, routing_key="")
        print(f"uploaded {photo}")


async def subscribe(channel, task):
    """Declare a queue for this task, so that each task gets every upload. Several workers of a task share its queue."""
    uploads = await channel.declare_exchange("uploads", "fanout", durable=True)
    queue = await channel.declare_queue(f"uploads.{task}", durable=True)
    await queue.bind(uploads)
    return queue


async def work(queue, task, photos):
    async with queue.iterator() as messages:
        async for message in messages:
            async with message.process():  # acknowledges at the end, rejects on an exception
                print(f"{task} {WORKERS[task]} {message.body.decode()}")
            photos -= 1
            if not photos:  # a real worker runs forever
                return


async def main(url=URL):
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queues = {task: await subscribe(channel, task) for task in WORKERS}

        for photo in PHOTOS:
            await upload(connection, photo)
        await asyncio.gather(*(work(queue, task, len(PHOTOS)) for task, queue in queues.items()))

        for queue in queues.values():
            await queue.delete()
        await channel.exchange_delete("uploads")


if __name__ == "__main__":
    asyncio.run(main())
