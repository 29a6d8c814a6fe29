"""Settings of the node's name, and of the release that the broker behaves like."""

from amqpbroker.config.accepted import ANY, BOOLEAN, COMPAT, NAME, one_of
from amqpbroker.config.identity import OWN_NAME, RABBITMQ
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("cluster_name", NAME, "amqpbroker@localhost",
            "Name of the cluster, which clients are told, and of the node.", "cluster_name",
            environment=("RABBITMQ_NODENAME",), over_files=False),
    Setting("cluster_tags.$tag", ANY, "", "Tag of the cluster, shown by the API."),
    Setting("node_tags.$tag", ANY, "", "Tag of the node, shown by the API."),
    Setting("product.identity", one_of(RABBITMQ, OWN_NAME), RABBITMQ,
            "Names and versions that clients are told: those of the release of RabbitMQ that compat names, or with"
            " `amqpbroker` those of this broker. The server property `amqpbroker` always has this broker's version.",
            "product_identity"),
    Setting("product.name", NAME, "RabbitMQ",
            "Product name that clients are told, instead of that of product.identity.", "product_name",
            environment=("RABBITMQ_PRODUCT_NAME",)),
    Setting("product.version", NAME, "4.0.5",
            "Product version that clients are told, instead of that of product.identity.", "product_version",
            environment=("RABBITMQ_PRODUCT_VERSION",)),
    Setting("compat", COMPAT, "4.0",
            "Release series of RabbitMQ whose behaviour clients see. See docs/compatibility.md for the differences.",
            "compat"),
    Setting("event_exchange.vhost", ANY, "",
            "Vhost of the exchange amq.rabbitmq.event. If it is empty, it is `default_vhost`.",
            "event_exchange_vhost"),
    Setting("deprecated_features.permit.$name", BOOLEAN, "",
            "Permit this deprecated feature of RabbitMQ, regardless of the release's default. The features are"
            " `transient_nonexcl_queues`, `global_qos` and `queue_master_locator`."),
)
# fmt: on
