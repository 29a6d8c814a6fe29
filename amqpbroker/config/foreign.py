"""RabbitMQ's keys that have no effect here: keys that are ignored, and keys that are refused.

A file for RabbitMQ can be used unchanged: keys of components that this broker does not have are ignored with a warning.
A key is refused if ignoring it would give access to more users or traffic than its author wants.
In a pattern `*` matches anything. The keys are those of RabbitMQ 3.13 to 4.3 and its plugins.
"""

_NO_NODES = "there is only one node"
_ERLANG = "it configures the Erlang runtime, which is not used"
_STORE = "the message store of this broker works differently"
_SOCKETS = "sockets are configured differently"
_LOG = "this log output or format is not supported"
_OBSOLETE = "RabbitMQ does not use it any more"
_TLS = "OpenSSL determines this"
_HTTP = "this broker uses a different HTTP server"

_TLS_PREFIXES = ("ssl_options", "management.ssl", "management.listener.ssl_opts", "prometheus.ssl")

#: Pattern -> the reason why the key can be ignored.
LEFT_OUT: dict[str, str] = {
    "raft.*": _STORE,
    "metadata_store.*": _STORE,
    "prevent_startup_if_node_was_reset": _STORE,
    "classic_queue.default_version": "classic queues have only one version",
    "quorum_queue.continuous_membership_reconciliation.*": _NO_NODES,
    "quorum_queue.initial_cluster_size": _NO_NODES,
    "quorum_queue.commands_soft_limit": _STORE,
    **{
        f"quorum_queue.{part}compute_checksums": "stored messages always have checksums"
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
    "vm_memory_calculation_strategy": "the memory use that the system reports is used",
    "memory_monitor_interval": "the interval depends on how close memory use is to the limit",
    "runtime_parameters.limits.*": "the features that it limits are not supported",
    "stream.*": "the stream protocol is not supported, clients use streams with AMQP 0-9-1",
    "shovel.operating_mode": "shovels run as long as their definitions exist",
    "shovel.local.*": "shovels use AMQP 0-9-1, also for this broker",
    "shovel.delete_after_duration_floor": "shovels can only end after a number of messages",
    "consumer_disconnected_timeout": "there is only one node, so every consumer is reachable",
    "event_exchange.protocol": "events are AMQP 0-9-1 messages",
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
    "ranch_connection_max": "set connection_max instead",
    "reverse_dns_lookups": "clients are identified by their addresses",
    "session_max_per_connection": "AMQP 1.0 is not supported",
    "link_max_per_session": "AMQP 1.0 is not supported",
    "collect_statistics": "set management.rates_mode instead",
    "log.summarize_process_state": _LOG,
    "log.error_logger_format_depth": _LOG,
    "management.require_auth_for_api_reference": "the API reference is not served",
    "motd_file": "no banner is printed at startup",
    "definitions.hashing.algorithm": "definitions are compared differently",
    "ssl_allow_poodle_attack": "the affected versions of TLS are not supported",
    "management.listener.ssl_opts": "TLS is used if a TLS listener is configured",
    "ssl_options": "TLS is used if a TLS listener is configured",
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
    "management.credential_encryption_secret": "sessions are stored on the server",
    "management.definitions.require_json_extension": "a file is recognised by its content",
    "management.db_cache_multiplier": "counts are not cached",
    "management.sample_retention_policies.*": "the retention of samples is fixed",
    "management.headers.*": "the HTTP headers of the management UI are fixed",
    "management.csp.policy": "the HTTP headers of the management UI are fixed",
    "management.hsts.policy": "the HTTP headers of the management UI are fixed",
    "management.restrictions.quorum_queue_replica_operations.disabled": _NO_NODES,
    "management_agent.*": "the management API reads from the broker directly",
    "prometheus.filter_aggregated_queue_metrics_pattern": "all queues are aggregated",
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
        f"{plugin}.*": "this plugin is not supported"
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

_SHOVELS = "set the TLS options in the URI of each shovel"
_FILES_ONLY = "definitions can only be imported from files; set load_definitions"

#: Pattern -> the reason why the key cannot be ignored.
REFUSED: dict[str, str] = {
    "http_dispatch.auth_backends.*": "only the internal backend is supported",
    "credential_validator.*": "password rules are not supported, so weak passwords would be accepted",
    "definitions.https.*": _FILES_ONLY,
    "definitions.tls.*": _FILES_ONLY,
    "management.disable_basic_auth": "basic authentication cannot be disabled",
    "management.oauth_enabled": "OAuth 2 is not supported, so passwords would be accepted",
    "management.oauth_disable_basic_auth": "OAuth 2 is not supported",
    "management.oauth_*": "OAuth 2 is not supported",
    "management.enable_uaa": "OAuth 2 is not supported",
    "management.uaa_*": "OAuth 2 is not supported",
    "default_policies.operator.*.apply_to": "configured operator policies apply to queues of every type",
    "amqp_client.ssl_options*": _SHOVELS,
    "amqp10_client.ssl_options*": _SHOVELS,
    "prometheus.authentication.enabled": "metrics have no authentication, so everybody could read them",
    "prometheus.tcp.listener": "set prometheus.tcp.ip and prometheus.tcp.port instead",
    **{
        f"{prefix}.{option}": reason
        for prefix in _TLS_PREFIXES
        for option, reason in {
            "crl_sources.*": "revocation lists are not supported, so revoked certificates would be accepted",
            "crl_check": "revocation lists are not supported, so revoked certificates would be accepted",
            "cacerts.*": "set cacertfile to a PEM file",
            "cert": "set certfile to a PEM file",
            "key.*": "set keyfile to a PEM file",
            "psk_identity": "pre-shared keys are not supported",
        }.items()
    },
}

#: Values that request no change, so that no warning is needed.
_NOTHING = frozenset({"false", "none", "off", "undefined", "rabbit_credential_validator_accept_everything"})


def has_no_effect(key: str, text: str) -> bool:
    """Return whether a foreign key can be ignored because its value asks for the broker's normal behaviour."""
    return text in _NOTHING or (text == "true" and key.endswith(".secure_renegotiate"))


def is_foreign(key: str) -> bool:
    """Return whether the key is in one of the tables."""
    return bool(reason_in(LEFT_OUT, key) or reason_in(REFUSED, key))


def reason_in(table: dict[str, str], key: str) -> str:
    """Return the reason that a table has for a key, "" if there is none."""
    for pattern, reason in table.items():
        if matches(key, pattern):
            return reason
    return ""


def matches(key: str, pattern: str) -> bool:
    """Return whether a key fits a pattern. fnmatch would compile each of the two hundred patterns at every start."""
    first, *parts = pattern.split("*")
    if not parts:
        return key == pattern
    if not key.startswith(first):
        return False
    at = len(first)
    for part in parts[:-1]:
        at = key.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return key.endswith(parts[-1], at)
