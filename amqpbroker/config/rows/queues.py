"""Queues, and how safe what is in them is."""

from amqpbroker.config.accepted import (
    ADDRESS,
    BOOLEAN,
    DATABASE,
    MAX_INT,
    ON_OFF,
    REGEX,
    choice,
    duration_ms,
    fraction,
    integer,
    one_of,
)
from amqpbroker.config.setting import Setting

QUEUE_TYPES = {
    "classic": "classic",
    "quorum": "quorum",
    "stream": "stream",
    "rabbit_classic_queue": "classic",
    "rabbit_quorum_queue": "quorum",
    "rabbit_stream_queue": "stream",
}

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("default_queue_type", choice(QUEUE_TYPES), "classic",
            "Type of a queue that is declared without x-queue-type.", "default_queue_type"),
    Setting("queue_types.$type.enabled", one_of("true"), "", "Queue types cannot be disabled."),
    Setting("exchange_types.local_random.enabled", one_of("true"), "", "Exchange types cannot be disabled."),
    Setting("quorum_queue.property_equivalence.relaxed_checks_on_redeclaration", BOOLEAN, "false",
            "Allow a quorum queue to be declared again as another type of queue.", "relaxed_redeclaration"),
    Setting("extensions", ON_OFF, "on",
            "Accept arguments, policy keys and settings that RabbitMQ does not have. `off`: they are treated as by the"
            " RabbitMQ version of `compat`."),
    Setting("queue.redeclare", one_of("strict", "warn", "update"), "strict",
            "Declarations of an existing queue with other arguments. `strict`: they are refused with 406. `warn`: they"
            " are accepted, change nothing, and are logged. `update`: the queue gets the declared arguments. The policy"
            " key `redeclare` has precedence.", "redeclare"),
    Setting("batch.max_ttl", duration_ms(1_000), "30d",
            "Longest time for which a batch is known: a message with a larger x-batch-ttl is refused with 406.",
            "batch_max_ttl_ms"),
    Setting("job.max_ttl", duration_ms(1_000), "3650d",
            "Longest time for which a job is known after its end: a message with a larger x-job-ttl is refused with"
            " 406.", "job_max_ttl_ms"),
    Setting("user_share.relative", fraction(1), "0.5",
            "Part of the batches, and of the jobs, of a vhost that one user may have, so that no user takes all of"
            " them. A user may always have one.", "user_share"),
    Setting("cluster_queue_limit", integer(1, MAX_INT, infinity=0), "infinity",
            "Maximum number of queues.", "cluster_queue_limit"),
    Setting("cluster_exchange_limit", integer(1, MAX_INT, infinity=0), "infinity",
            "Maximum number of exchanges.", "cluster_exchange_limit"),
    Setting("durability", one_of("fsync", "os", "none"), "fsync",
            "Guarantee of a confirm of a persistent message. `fsync`: it is on disk and survives a power loss. `os`: it"
            " is written to the operating system and survives kill -9. `none`: it is in memory, and kill -9"
            " may lose the messages of the last event loop iterations.", "durability"),
    Setting("store.url", DATABASE, "",
            "Database that has everything, instead of the data directory: `postgresql://USER@HOST:PORT/DATABASE`, or"
            " several hosts separated by commas. Brokers with the same database share its vhosts: each serves some, and"
            " clients may use any of them. libpq's environment variables, such as PGPASSFILE, apply.",
            "store_url", environment=("AMQPBROKER_STORE",), secret=True),
    Setting("store.lease", duration_ms(1_000), "10s",
            "Time after which other brokers take over from one that hangs.", "store_lease_ms"),
    Setting("store.vhosts", REGEX, "",
            "Vhosts that this broker prefers to lead, as a pattern that is found in their names. If several running"
            " brokers prefer a vhost, one of them leads it; if none of them runs, any other one.", "store_vhosts"),
    Setting("store.address", ADDRESS, "",
            "Host, or HOST:PORT, at which other brokers with the same database reach this one. The default is the host"
            " of the first listener, and a free port.", "store_address", environment=("AMQPBROKER_ADDRESS",)),
)
# fmt: on
