"""RabbitMQ's keys that have no effect here: keys that are ignored, and keys that are refused.

A file for RabbitMQ can be used unchanged: keys of components that this broker does not have are ignored with a warning.
A key is refused if ignoring it would give access to more users or traffic than its author wants.
In a pattern `*` matches anything. The keys are those of RabbitMQ 3.13 to 4.3 and its plugins.
"""

from fnmatch import fnmatchcase

_NO_NODES = "there are no other nodes"
_ERLANG = "this is no Erlang"
_STORE = "this store works in another way"
_SOCKETS = "sockets are set up in another way"
_LOG = "the log does not go there, or look so"
_OBSOLETE = "RabbitMQ does not use it any more"
_TLS = "OpenSSL decides about that"
_HTTP = "the HTTP server is another one"

_TLS_PREFIXES = ("ssl_options", "management.ssl", "management.listener.ssl_opts", "prometheus.ssl")

#: Pattern -> why nothing is lost.
LEFT_OUT: dict[str, str] = {
    "raft.*": _STORE,
    "metadata_store.*": _STORE,
    "prevent_startup_if_node_was_reset": _STORE,
    "classic_queue.default_version": "there is one version of classic queues",
    "quorum_queue.continuous_membership_reconciliation.*": _NO_NODES,
    "quorum_queue.initial_cluster_size": _NO_NODES,
    "quorum_queue.commands_soft_limit": _STORE,
    **{
        f"quorum_queue.{part}compute_checksums": "what is stored always has checksums"
        for part in ("", "wal_", "segment_")
    },
    **{
        f"quorum_queue.{name}": _STORE
        for name in (
            "compress_mem_tables",
            "max_append_entries_rpc_batch_size",
            "segment_max_entries",
            "segment_max_size_bytes",
            "snapshot_chunk_size",
            "wal_max_batch_size",
            "wal_max_entries",
            "wal_max_size_bytes",
        )
    },
    "queue_index_embed_msgs_below": _STORE,
    "message_store_shutdown_timeout": _STORE,
    "mnesia_table_loading_retry_timeout": _STORE,
    "mnesia_table_loading_retry_limit": _STORE,
    "vhost_restart_strategy": _STORE,
    "vm_memory_high_watermark_paging_ratio": _OBSOLETE,
    "vm_memory_calculation_strategy": "what counts is what the system says",
    "memory_monitor_interval": "how often the memory is looked at depends on how near it is to being short",
    "runtime_parameters.limits.*": "the features that it limits are not there",
    "stream.*": "there are no streams",
    "queue_types.stream.enabled": "there are no streams",
    "shovel.operating_mode": "shovels are there as long as their definitions",
    "shovel.local.*": "shovels speak AMQP 0-9-1, to this broker as well",
    "shovel.delete_after_duration_floor": "shovels end by the number of messages only",
    "consumer_disconnected_timeout": "with one node no consumer is unreachable",
    "event_exchange.protocol": "events are messages of AMQP 0-9-1",
    "cluster_formation.*": _NO_NODES,
    "cluster_partition_handling": _NO_NODES,
    "cluster_partition_handling.*": _NO_NODES,
    "cluster_keepalive_interval": _NO_NODES,
    "mirroring_sync_batch_size": _NO_NODES,
    "mirroring_sync_max_throughput": _NO_NODES,
    "default_policies.operator.*.classic_queues.ha_*": _NO_NODES,
    "queue_master_locator": _NO_NODES,
    "queue_leader_locator": _NO_NODES,
    "net_ticktime": _NO_NODES,
    "distribution.*": _NO_NODES,
    "nodename": _NO_NODES,
    "distributed_cookie": _NO_NODES,
    "aws.*": _NO_NODES,
    "erlang.*": _ERLANG,
    "sysmon_handler.*": _ERLANG,
    "hipe_compile": _ERLANG,
    "default_worker_pool_size": _ERLANG,
    "delegate_count": _ERLANG,
    "background_gc_enabled": _ERLANG,
    "background_gc_target_interval": _ERLANG,
    "socket_writer.gc_threshold": _ERLANG,
    "num_acceptors.*": _SOCKETS,
    "tcp_listen_options": _SOCKETS,
    "tcp_listen_options.*": _SOCKETS,
    "ranch_connection_max": "connection_max is the limit",
    "reverse_dns_lookups": "clients are called by their addresses",
    "session_max_per_connection": "AMQP 1.0 is not spoken",
    "link_max_per_session": "AMQP 1.0 is not spoken",
    "collect_statistics": "management.rates_mode is what decides",
    "log.summarize_process_state": _LOG,
    "log.error_logger_format_depth": _LOG,
    "management.require_auth_for_api_reference": "there is no such page",
    "motd_file": "nothing is printed at the start",
    "definitions.hashing.algorithm": "definitions are compared in another way",
    "ssl_allow_poodle_attack": "the versions of TLS that it is about are not spoken",
    "management.listener.ssl_opts": "TLS is used where a listener asks for it",
    "ssl_options": "TLS is used where a listener asks for it",
    "log.exchange": _LOG,
    "log.exchange.*": _LOG,
    "log.syslog": _LOG,
    "log.syslog.*": _LOG,
    "log.journald": _LOG,
    "log.journald.*": _LOG,
    "log.console.use_colors": _LOG,
    "log.console.color_esc_seqs.*": _LOG,
    "log.console.formatter.*": _LOG,
    "log.file.formatter.*": _LOG,
    "log.file.rotation.date": _LOG,
    "log.file.rotation.compress": _LOG,
    **{
        f"log.{category}.{rest}": _LOG
        for category in (
            "default",
            "connection",
            "channel",
            "queue",
            "mirroring",
            "federation",
            "upgrade",
            "ra",
            "user",
        )
        for rest in ("file", "rotation.*")
    },
    "management.http_log_dir": _HTTP,
    "management.http.*": _HTTP,
    "http_dispatch.access_log_dir": _HTTP,
    **{
        f"{prefix}.{option}": _HTTP
        for prefix in ("management.tcp", "management.ssl", "prometheus.tcp", "prometheus.ssl")
        for option in (
            "backlog",
            "compress",
            "idle_timeout",
            "inactivity_timeout",
            "max_connections",
            "max_keepalive",
            "request_timeout",
            "shutdown_timeout",
        )
    },
    "management.listener.server.*": _HTTP,
    "management.delegate_count": _ERLANG,
    "management.credential_encryption_secret": "sessions are kept by the server",
    "management.definitions.require_json_extension": "a file is taken by what is in it",
    "management.db_cache_multiplier": "counts are not cached",
    "management.sample_retention_policies.*": "how long samples are kept is fixed",
    "management.headers.*": "the page's headers are fixed",
    "management.csp.policy": "the page's headers are fixed",
    "management.hsts.policy": "the page's headers are fixed",
    "management.restrictions.quorum_queue_replica_operations.disabled": _NO_NODES,
    "management_agent.*": "the management API asks the broker itself",
    "prometheus.filter_aggregated_queue_metrics_pattern": "all queues are counted",
    **{
        f"{prefix}.{option}": _TLS
        for prefix in _TLS_PREFIXES
        for option in (
            "bypass_pem_cache",
            "client_renegotiation",
            "dh",
            "dhfile",
            "honor_ecc_order",
            "log_alert",
            "log_level",
            "reuse_sessions",
            "secure_renegotiate",
        )
    },
    **{
        f"{plugin}.*": "there is no such plugin"
        for plugin in (
            "amqp1_0",
            "auth_cache",
            "auth_http",
            "auth_ldap",
            "auth_oauth2",
            "federation",
            "mqtt",
            "stomp",
            "tracing",
            "trust_store",
            "web_mqtt",
            "web_stomp",
        )
    },
}

_SHOVELS = "write the options of TLS into the URI of each shovel"
_FILES_ONLY = "definitions are imported from files only, by load_definitions"

#: Pattern -> why it cannot be left out.
REFUSED: dict[str, str] = {
    "http_dispatch.auth_backends.*": "the broker itself is the only one that knows users",
    "proxy_protocol": "clients' addresses cannot be taken from a proxy, and users would not be held to theirs",
    "credential_validator.*": "passwords are not held to rules, and weak ones would be let in",
    "definitions.https.*": _FILES_ONLY,
    "definitions.tls.*": _FILES_ONLY,
    "management.disable_basic_auth": "basic authentication cannot be turned off",
    "management.oauth_enabled": "there is no OAuth 2, and passwords would be asked for",
    "management.oauth_disable_basic_auth": "there is no OAuth 2",
    "management.oauth_*": "there is no OAuth 2",
    "management.enable_uaa": "there is no OAuth 2",
    "management.uaa_*": "there is no OAuth 2",
    "default_policies.operator.*.apply_to": "operator policies of the settings are for queues of every type",
    "amqp_client.ssl_options*": _SHOVELS,
    "amqp10_client.ssl_options*": _SHOVELS,
    "prometheus.authentication.enabled": "metrics are told to whoever asks, and would be told unasked",
    "prometheus.tcp.listener": "write prometheus.tcp.ip and prometheus.tcp.port",
    **{
        f"{prefix}.{option}": reason
        for prefix in _TLS_PREFIXES
        for option, reason in {
            "crl_sources.*": "lists of revoked certificates are not looked at, and revoked ones would be let in",
            "crl_check": "lists of revoked certificates are not looked at, and revoked ones would be let in",
            "cacerts.*": "name a PEM file by cacertfile",
            "cert": "name a PEM file by certfile",
            "key.*": "name a PEM file by keyfile",
            "psk_identity": "there are no pre-shared keys",
        }.items()
    },
}

#: Values that ask for nothing, so that nothing is to be said of them.
_NOTHING = frozenset({"false", "none", "off", "undefined", "rabbit_credential_validator_accept_everything"})


def has_no_effect(key: str, text: str) -> bool:
    """Return whether a foreign key can be ignored because its value asks for the broker's normal behaviour."""
    return text in _NOTHING or (text == "true" and key.endswith(".secure_renegotiate"))


def is_foreign(key: str) -> bool:
    """Whether the key is in one of the tables."""
    return bool(reason_in(LEFT_OUT, key) or reason_in(REFUSED, key))


def reason_in(table: dict[str, str], key: str) -> str:
    """What a table has for a key, or "" where it has nothing."""
    for pattern, reason in table.items():
        if fnmatchcase(key, pattern):
            return reason
    return ""
