"""Features of the tested broker that not every broker has."""

import urllib.error
import urllib.request

import pika

from interop.checks import AMQP_URL, MANAGEMENT_URL


def has_delayed_exchange() -> bool:
    """RabbitMQ needs a plugin for it."""
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        try:
            arguments = {"x-delayed-type": "direct"}
            connection.channel().exchange_declare("probe", "x-delayed-message", auto_delete=True, arguments=arguments)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        connection.channel().exchange_delete("probe")
        return True


def has_locks() -> bool:
    """Return whether it renews locks; RabbitMQ drops the message."""
    with pika.BlockingConnection(pika.URLParameters(AMQP_URL)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish("", "amq.renew-lock", b"")  # without the header, which is an error
        except pika.exceptions.ChannelClosedByBroker:
            return True
        return False


def is_for_testing() -> bool:
    """Return whether its API has the paths for tests, which RabbitMQ does not have."""
    request = urllib.request.Request(f"{MANAGEMENT_URL}/api/testing/clock")
    request.add_header("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")  # guest:guest
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError:
        return False
    return True
