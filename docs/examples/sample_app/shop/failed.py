"""Retry failed messages once the cause is fixed."""

import pika

from shop import topology


def retry(channel, queue):
    """Move all failed messages back to the queue, and reset their attempts. Returns how many there were."""
    failed = topology.failed(queue)
    number = 0
    while (message := channel.basic_get(failed))[0] is not None:
        method, properties, body = message
        again = pika.BasicProperties(delivery_mode=2, headers={"what": properties.headers["what"]})
        channel.basic_publish("", queue, body, again, mandatory=True)
        channel.basic_ack(method.delivery_tag)
        number += 1
    return number
