"""All metrics, in RabbitMQ's order."""

from amqpbroker.metrics.family import Group
from amqpbroker.metrics.groups import channels, connections, everything, exchanges, node, queues

GROUPS: tuple[Group, ...] = (
    node.CHURN,
    node.COARSE,
    node.METRICS,
    node.PERSISTER,
    node.LOGINS,
    queues.COARSE,
    queues.CONSUMER_COUNT,
    queues.METRICS,
    channels.METRICS,
    channels.EXCHANGE,
    channels.QUEUE,
    connections.COARSE,
    connections.METRICS,
    queues.PUBLISHED,
    exchanges.METRICS,
    queues.DELIVERY,
    queues.EXCHANGE,
    queues.DUPLICATES,
    exchanges.DUPLICATES,
    exchanges.VHOSTS,
    exchanges.NAMES,
    exchanges.BINDINGS,
    node.OBJECTS,
    node.BUILD,
    node.IDENTITY,
    everything.CONSUMERS,
    everything.DEAD,
    everything.DELIVERED,
    everything.RECEIVED,
    node.ALARMS,
    node.PROCESS,
    node.MEMORY,
)
