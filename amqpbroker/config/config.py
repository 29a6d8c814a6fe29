"""Configuration of one broker."""

from dataclasses import dataclass, field
from typing import NamedTuple

from amqpbroker.compat import COMPATS, Compat
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.config.identity import RABBITMQ, Identity, own, rabbitmq
from amqpbroker.config.tls import Tls

#: RabbitMQ's log categories. The set-up of the log describes them.
CATEGORIES = ("default", "connection", "channel", "queue", "mirroring", "federation", "shovel", "upgrade", "ra")
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none")

NO_TLS = Tls()


class Log(NamedTuple):
    """RabbitMQ's log settings. `file` is a name or "" for none, in `dir` unless it is absolute.

    An output's level of "" stands for its default: `warning` for the console, `info` for a file. `levels` has the
    levels of categories. A file of more than `file_rotation_size_bytes` is rotated, unless that is 0, and
    `file_rotation_count` old files are retained.
    """

    console: bool = True
    console_level: str = ""
    console_formatter: str = "plaintext"
    console_stdio: str = "stderr"
    file: str = ""
    file_level: str = ""
    file_formatter: str = "plaintext"
    file_rotation_size_bytes: int = 0
    file_rotation_count: int = 5
    dir: str = "/var/log/rabbitmq"
    levels: tuple[tuple[str, str], ...] = ()


DEFAULT_LOG = Log()


class Listener(NamedTuple):
    """A listening address: a host name or address, and a port (0 chooses a free one)."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DefaultUser:
    """A user of a new broker, with permissions on every vhost whose name matches `vhost_pattern`.

    A user without a password cannot log in with one.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    vhost_pattern: str = ".*"
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"


class DefaultLimits(NamedTuple):
    """Limits of a new vhost whose name matches `pattern`; None means no limit."""

    pattern: str = ".*"
    max_connections: int | None = None
    max_queues: int | None = None


class DefaultOperatorPolicy(NamedTuple):
    """An operator policy of a new vhost whose name matches `vhost_pattern`.

    `definition` consists of (policy key, value) pairs.
    """

    name: str
    vhost_pattern: str = ".*"
    queue_pattern: str = ".*"
    definition: tuple[tuple[str, int], ...] = ()


class Limit(NamedTuple):
    """A number of bytes or, if that is None, a fraction of the memory."""

    absolute_bytes: int | None = None
    relative: float = 0.0

    def of(self, total_bytes: int) -> int:
        """Return the limit in bytes for this amount of memory."""
        return int(self.relative * total_bytes) if self.absolute_bytes is None else self.absolute_bytes


class Management(NamedTuple):
    """The management API and UI. A port of None means no listener, 0 chooses a free one."""

    port: int | None = 15672
    host: str = "127.0.0.1"
    tls_port: int | None = None
    tls_host: str = "127.0.0.1"
    tls: Tls = NO_TLS
    path_prefix: str = ""
    rates_mode: str = "basic"
    disable_stats: bool = False
    enable_queue_totals: bool = False
    operator_policy_changes_disabled: bool = False
    login_session_timeout_min: int = 480
    cors_allow_origins: tuple[str, ...] = ()
    cors_max_age_s: int = 1800
    trusted_proxies: tuple[str, ...] = ()


class Prometheus(NamedTuple):
    """The metrics. A port of None means no listener, 0 chooses a free one."""

    port: int | None = 15692
    host: str = "127.0.0.1"
    tls_port: int | None = None
    tls_host: str = "127.0.0.1"
    tls: Tls = NO_TLS
    path: str = "/metrics"
    return_per_object_metrics: bool = False


class Definitions(NamedTuple):
    """Definitions that are imported at startup, in this order: files, or directories of files."""

    paths: tuple[str, ...] = ()
    skip_if_unchanged: bool = False


GUEST = DefaultUser("guest", "guest", ("administrator",), "^/$")


@dataclass(frozen=True, slots=True)
class Config:
    """Configuration of one broker. `load` makes it from RabbitMQ's keys; tests may construct it directly.

    A limit of 0 means no limit, and a `consumer_timeout_ms` of 0 is off. `set_timestamp` and `set_routing_node` are
    message interceptors: None is off, True overwrites. An empty `data_dir` is the user's own data directory. An
    `anonymous_login_user` of None disables anonymous logins. A `total_memory_bytes` of None is the memory of the
    machine or the container. `initial_frame_max` defaults to that of `compat`; `product_name` and `product_version`
    default to those of `identity`. An empty `event_exchange_vhost` is `default_vhost`.
    `defaults_given`: the configuration sets the vhost or the users of a new broker.
    """

    listeners: tuple[Listener, ...] = (Listener("127.0.0.1", 5672),)
    tls_listeners: tuple[Listener, ...] = ()
    proxy_protocol: bool = False
    tls: Tls = NO_TLS
    ssl_handshake_timeout_ms: int = 5_000
    ssl_cert_login_from: str = "distinguished_name"
    ssl_cert_login_san_type: str = "dns"
    ssl_cert_login_san_index: int = 0
    management: Management = Management()
    prometheus: Prometheus = Prometheus()
    definitions: Definitions = Definitions()
    log: Log = DEFAULT_LOG
    collect_statistics_interval_ms: int = 5_000
    data_dir: str = ""
    in_memory: bool = False
    handshake_timeout_ms: int = 10_000
    heartbeat_s: int = 60
    frame_max: int = 131_072
    initial_frame_max: int = 0
    channel_max: int = 2047
    max_connections: int = 0
    channel_max_per_node: int = 0
    vhost_max: int = 0
    cluster_queue_limit: int = 0
    cluster_exchange_limit: int = 0
    relaxed_redeclaration: bool = False
    redeclare: str = "strict"
    qos_applies_to: str = "new"
    set_timestamp: bool | None = None
    set_routing_node: bool | None = None
    tells_sent_time: bool = False
    max_message_size: int = 16_777_216
    consumer_timeout_ms: int = 1_800_000
    consumer_max_per_channel: int = 0
    channel_tick_interval_ms: int = 60_000
    loopback_users: frozenset[str] = frozenset({"guest"})
    auth_mechanisms: tuple[str, ...] = ("AMQPLAIN", "ANONYMOUS", "PLAIN")
    anonymous_login_user: str | None = "guest"
    anonymous_login_pass: str = field(default="guest", repr=False)
    default_limits: tuple[DefaultLimits, ...] = ()
    default_operator_policies: tuple[DefaultOperatorPolicy, ...] = ()
    default_vhost: str = "/"
    default_users: tuple[DefaultUser, ...] = (GUEST,)
    defaults_given: bool = field(default=False, compare=False)
    default_queue_type: str = "classic"
    durability: str = "fsync"
    store_url: str = field(default="", repr=False)
    store_lease_ms: int = 10_000
    store_address: str = ""
    store_vhosts: str = ""
    vm_memory_high_watermark: Limit = Limit(relative=0.6)
    disk_free_limit: Limit = Limit(absolute_bytes=50_000_000)
    total_memory_bytes: int | None = None
    shovel_predeclared: bool = False
    cluster_tags: tuple[tuple[str, str], ...] = ()
    node_tags: tuple[tuple[str, str], ...] = ()
    cluster_name: str = "amqpbroker@localhost"
    product_identity: str = RABBITMQ
    product_name: str = ""
    product_version: str = ""
    compat: Compat = COMPATS["4.0"]
    event_exchange_vhost: str = ""
    batch_max_ttl_ms: int = 2_592_000_000
    job_max_ttl_ms: int = 315_360_000_000
    user_share: float = 0.5
    bounds: Bounds = BOUNDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial_frame_max", self.initial_frame_max or self.compat.frame_min)
        object.__setattr__(self, "product_name", self.product_name or self.identity.product)
        object.__setattr__(self, "product_version", self.product_version or self.identity.version)

    @property
    def identity(self) -> Identity:
        """Names and versions that are announced to clients."""
        return rabbitmq(self.compat) if self.product_identity == RABBITMQ else own()
