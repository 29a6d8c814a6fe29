"""Settings of the node's name, and of the release that the broker behaves like."""

from amqpbroker.config.accepted import ANY, BOOLEAN, COMPAT, NAME, one_of
from amqpbroker.config.identity import OWN_NAME, RABBITMQ
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("cluster_name", NAME, "amqpbroker@localhost",
            "The name of the cluster that clients are told, and of the node.", "cluster_name",
            environment=("RABBITMQ_NODENAME",), over_files=False),
    Setting("cluster_tags.$tag", ANY, "", "What the API tells of the cluster besides."),
    Setting("node_tags.$tag", ANY, "", "What the API tells of the node besides."),
    Setting("product.identity", one_of(RABBITMQ, OWN_NAME), RABBITMQ,
            "Whose names and versions clients are told: those of the release of RabbitMQ that compat names, or"
            " `amqpbroker`, this broker's. The server property `amqpbroker` has this broker's version in both cases.",
            "product_identity"),
    Setting("product.name", NAME, "RabbitMQ",
            "The product that clients are told, in place of the one of product.identity.", "product_name",
            environment=("RABBITMQ_PRODUCT_NAME",)),
    Setting("product.version", NAME, "4.0.5",
            "The version that clients are told, in place of the one of product.identity.", "product_version",
            environment=("RABBITMQ_PRODUCT_VERSION",)),
    Setting("compat", COMPAT, "4.0",
            "The release series of RabbitMQ whose behaviour clients see; docs/compatibility.md has what differs.",
            "compat"),
    Setting("event_exchange.vhost", ANY, "",
            "The vhost that has the exchange amq.rabbitmq.event. Without one it is `default_vhost`.",
            "event_exchange_vhost"),
    Setting("deprecated_features.permit.$name", BOOLEAN, "",
            "Whether this deprecated feature of RabbitMQ may be used, whatever the release's default. What is modelled"
            " are `transient_nonexcl_queues`, `global_qos` and `queue_master_locator`."),
)
# fmt: on
