"""`amqpbroker perf`: load on any AMQP 0-9-1 broker, with measurements."""

import click

from amqpbroker.cli.perf.churn import bind_churn, channel_churn, connection_churn, consumer_churn, queue_churn
from amqpbroker.cli.perf.idle import connection_count, queue_count
from amqpbroker.cli.perf.throughput import latency, throughput


@click.group()
def perf() -> None:
    """Put load on any AMQP 0-9-1 broker, and measure it.

    A run declares its queues and exchanges, and deletes those that you have not named. Ctrl-C ends it early, with its
    result.
    """


for _command in (
    throughput,
    latency,
    connection_churn,
    channel_churn,
    queue_churn,
    bind_churn,
    consumer_churn,
    connection_count,
    queue_count,
):
    perf.add_command(_command)
