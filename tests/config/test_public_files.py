"""Settings of public projects' rabbitmq.conf: each is accepted, or refused with an error that states the reason.

Only a project's settings are listed, not its file. For accepted settings, the keys that cause a warning are listed.
"""

import pytest

from amqpbroker.config import Listener, load_all
from amqpbroker.config.setting import ConfigError
from tests.certificates import Authority
from tests.process import BrokerProcess

TLS = """
listeners.ssl.default = 5671
ssl_options.cacertfile = /certs/ca.pem
ssl_options.certfile = /certs/server.pem
ssl_options.keyfile = /certs/key.pem
"""
MANAGEMENT_TLS = """
management.ssl.port = 15671
management.ssl.cacertfile = /certs/ca.pem
management.ssl.certfile = /certs/server.pem
management.ssl.keyfile = /certs/key.pem
"""
LEGACY_MANAGEMENT_TLS = """
management.listener.port = 15671
management.listener.ssl = true
management.listener.ssl_opts.cacertfile = /certs/ca.pem
management.listener.ssl_opts.certfile = /certs/server.pem
management.listener.ssl_opts.keyfile = /certs/key.pem
"""
K8S = """
cluster_formation.peer_discovery_backend = rabbit_peer_discovery_k8s
cluster_formation.k8s.host = kubernetes.default.svc.cluster.local
cluster_formation.node_cleanup.interval = 10
cluster_formation.node_cleanup.only_log_warning = true
cluster_partition_handling = autoheal
"""
K8S_KEYS = {
    "cluster_formation.peer_discovery_backend",
    "cluster_formation.k8s.host",
    "cluster_formation.node_cleanup.interval",
    "cluster_formation.node_cleanup.only_log_warning",
    "cluster_partition_handling",
}
BUNNY = (
    "listeners.tcp.1 = 0.0.0.0:5672"
    + TLS
    + """
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
ssl_options.versions.1 = tlsv1.2
ssl_options.honor_cipher_order = true
ssl_options.honor_ecc_order = true
ssl_options.client_renegotiation = false
ssl_options.secure_renegotiate = true
ssl_options.ciphers.1 = ECDHE-ECDSA-AES256-GCM-SHA384
ssl_options.ciphers.2 = ECDHE-RSA-AES256-GCM-SHA384
ssl_options.ciphers.3 = ECDH-ECDSA-AES256-GCM-SHA384
ssl_options.ciphers.4 = ECDH-RSA-AES256-GCM-SHA384
ssl_options.ciphers.5 = DHE-RSA-AES256-GCM-SHA384
ssl_options.ciphers.6 = DHE-DSS-AES256-GCM-SHA384
ssl_options.ciphers.7 = ECDHE-ECDSA-AES128-GCM-SHA256
ssl_options.ciphers.8 = ECDHE-RSA-AES128-GCM-SHA256
ssl_options.ciphers.9 = ECDH-ECDSA-AES128-GCM-SHA256
ssl_options.ciphers.10 = ECDH-RSA-AES128-GCM-SHA256
ssl_options.ciphers.11 = DHE-RSA-AES128-GCM-SHA256
ssl_options.ciphers.12 = DHE-DSS-AES128-GCM-SHA256
loopback_users = none
management.load_definitions = /spec/rabbitmq_config/definitions.json
"""
)
BUNNY_KEYS = {f"ssl_options.ciphers.{n}" for n in (3, 4, 5, 6, 9, 10, 11, 12)} | {"ssl_options.honor_ecc_order"}

#: Project -> its settings, and the keys that cause a warning.
TAKEN = {
    "ruby-amqp/bunny": (BUNNY, BUNNY_KEYS),
    "rabbitmq/rabbitmq-objc-client": (
        BUNNY + "auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = AMQPLAIN\nauth_mechanisms.3 = EXTERNAL",
        BUNNY_KEYS,
    ),
    "rabbitmq/amqp091-go": (TLS + "ssl_options.depth = 2\nssl_options.verify = verify_none", set()),
    "pika/pika": (
        TLS
        + """
listeners.tcp.default = 5672
num_acceptors.tcp = 10
num_acceptors.ssl = 10
reverse_dns_lookups = false
loopback_users.guest = false
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
log.console = true
log.console.level = debug
""",
        {"num_acceptors.tcp", "num_acceptors.ssl"},
    ),
    "pika/pika, TLS example": (TLS + LEGACY_MANAGEMENT_TLS, set()),
    "rabbitmq/rabbitmq-dotnet-client": (
        TLS
        + """
log.console = false
log.file = /var/log/rabbitmq/rabbitmq.log
log.file.level = debug
reverse_dns_lookups = false
loopback_users.guest = true
ssl_options.password = grapefruit
""",
        set(),
    ),
    "php-amqplib/php-amqplib": (
        TLS + MANAGEMENT_TLS + "management.ssl.verify = verify_none\nssl_options.versions.1 = tlsv1.2",
        set(),
    ),
    "php-amqplib/php-amqplib, OAuth tests": (
        TLS
        + """
auth_backends.1 = rabbit_auth_backend_internal
auth_backends.2 = rabbit_auth_backend_oauth2
auth_oauth2.resource_server_id = amqplib-test
auth_oauth2.scope_prefix = rabbitmq.
auth_oauth2.algorithms.1 = RS256
""",
        {"auth_backends.2", *[f"auth_oauth2.{key}" for key in ("resource_server_id", "scope_prefix", "algorithms.1")]},
    ),
    "cloudamqp/amqp-client.js": (TLS + "loopback_users = none", set()),
    "rabbitmq/rabbitmq-java-client": (
        TLS + "ssl_options.honor_cipher_order = true\nauth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = RABBIT-CR-DEMO",
        {"auth_mechanisms.2"},
    ),
    "docker-library/rabbitmq": (
        "loopback_users.guest = false\nlog.console = true\nmanagement_agent.disable_metrics_collector = true",
        {"management_agent.disable_metrics_collector"},
    ),
    "rabbitmq/cluster-operator": (
        TLS
        + MANAGEMENT_TLS
        + """
queue_master_locator = min-masters
disk_free_limit.absolute = 2GB
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = rabbit_peer_discovery_k8s
cluster_formation.k8s.host = kubernetes.default
cluster_formation.k8s.address_type = hostname
cluster_formation.target_cluster_size_hint = 3
cluster_name = hello
listeners.tcp = none
prometheus.ssl.certfile = /certs/server.pem
prometheus.ssl.keyfile = /certs/key.pem
prometheus.ssl.port = 15691
mqtt.listeners.ssl.default = 8883
stomp.listeners.tcp = none
web_mqtt.ssl.port = 15676
total_memory_available_override_value = 1717986919
""",
        {
            "queue_master_locator",
            "cluster_partition_handling",
            "cluster_formation.peer_discovery_backend",
            "cluster_formation.k8s.host",
            "cluster_formation.k8s.address_type",
            "cluster_formation.target_cluster_size_hint",
            "mqtt.listeners.ssl.default",
            "web_mqtt.ssl.port",
        },
    ),
    "bitnami/charts": (
        K8S
        + TLS
        + """
default_user = user
default_pass = CHANGEME
queue_master_locator = min-masters
loopback_users.guest = false
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
prometheus.tcp.port = 9419
total_memory_available_override_value = 2147483648
vm_memory_high_watermark.relative = 0.4
""",
        K8S_KEYS | {"queue_master_locator"},
    ),
    "rabbitmq/rabbitmq-server, Prometheus demo": (
        """
loopback_users.guest = false
listeners.tcp.default = 5672
management.listener.port = 15672
management.listener.ssl = false
vm_memory_high_watermark.absolute = 768MiB
cluster_name = rabbitmq-overview
cluster_formation.peer_discovery_backend = rabbit_peer_discovery_classic_config
cluster_formation.classic_config.nodes.1 = rabbit@rmq0
load_definitions = /etc/rabbitmq/rabbitmq-definitions.json
background_gc_enabled = true
background_gc_target_interval = 10000
""",
        {
            "cluster_formation.peer_discovery_backend",
            "cluster_formation.classic_config.nodes.1",
            "background_gc_enabled",
            "background_gc_target_interval",
        },
    ),
    "rucio/containers": (
        TLS
        + """
loopback_users.guest = false
ssl_options.depth  = 5
ssl_options.versions.1 = tlsv1.2
ssl_options.ciphers.1 = DHE-RSA-AES256-GCM-SHA384
ssl_options.ciphers.2 = DHE-RSA-AES128-GCM-SHA256
ssl_options.ciphers.3 = ECDHE-RSA-AES256-GCM-SHA384
ssl_options.ciphers.4 = ECDHE-RSA-AES128-GCM-SHA256
hipe_compile = false
stomp.listeners.ssl.1 = 0.0.0.0:61614
""",
        {"ssl_options.ciphers.1", "ssl_options.ciphers.2", "stomp.listeners.ssl.1"},
    ),
    "GFlisch/RabbitmqS": (
        TLS
        + """
ssl_options.versions.1 = tlsv1.3
ssl_options.ciphers.1 = TLS_AES_256_GCM_SHA384
ssl_options.ciphers.2 = TLS_AES_128_GCM_SHA256
ssl_options.ciphers.3 = TLS_CHACHA20_POLY1305_SHA256
ssl_options.honor_cipher_order = true
ssl_options.honor_ecc_order = true
""",
        {"ssl_options.honor_ecc_order"},
    ),
    "CytrexSGR/news-microservices": (
        TLS
        + """
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
ssl_options.ciphers.1 = ECDHE-ECDSA-AES256-GCM-SHA384
ssl_options.ciphers.2 = ECDHE-RSA-AES256-GCM-SHA384
ssl_options.reuse_sessions = true
vm_memory_high_watermark_paging_ratio = 0.75
disk_free_limit.relative = 1.0
log.dir = /var/log/rabbitmq
log.file = rabbit.log
log.file.rotation.count = 5
log.file.rotation.size = 10485760
""",
        {"ssl_options.reuse_sessions", "vm_memory_high_watermark_paging_ratio", "tlsv1.3"},
    ),
    "VOLTTRON/volttron": (
        TLS
        + LEGACY_MANAGEMENT_TLS
        + """
auth_mechanisms.1 = EXTERNAL
ssl_cert_login_from = common_name
ssl_options.versions.1 = tlsv1.2
ssl_options.versions.2 = tlsv1.1
ssl_options.versions.3 = tlsv1
trust_store.directory=/certs/trusted
trust_store.refresh_interval=0
""",
        {
            "ssl_options.versions.2",
            "ssl_options.versions.3",
            "trust_store.directory",
            "trust_store.refresh_interval",
        },
    ),
    "neicnordic/sda, LocalEGA": (TLS + LEGACY_MANAGEMENT_TLS + "default_vhost = lega", set()),
    "blackducksoftware/blackduck-alert": (
        K8S
        + TLS
        + """
total_memory_available_override_value = 1GB
default_user = sysadmin
default_vhost = blackduck-alert
queue_master_locator=min-masters
prometheus.return_per_object_metrics = true
consumer_timeout = 21600000
management.ssl.port = 15671
vm_memory_high_watermark.relative = 0.70
""",
        K8S_KEYS | {"queue_master_locator"},
    ),
    "LLNL/AMS": (TLS + MANAGEMENT_TLS + "listeners.tcp = none\nmax_message_size = 134217728", set()),
    "FiligranHQ/xtm-docker": ("max_message_size = 536870912\nconsumer_timeout = 86400000\nframe_max = 131072", set()),
    "BrewBlox/brewblox-images": (
        "loopback_users.guest = false\nmqtt.allow_anonymous = true\nweb_mqtt.ws_path = /eventbus",
        {"mqtt.allow_anonymous", "web_mqtt.ws_path"},
    ),
    "rabbitmq/rabbitmq-server, consul behind HAProxy": ("proxy_protocol = true", set()),
    "FACT-Finder/ff-cluster-compose": (
        "loopback_users.rabbitmquser = false\nhipe_compile = false\nmanagement.load_definitions = /definitions.json",
        set(),
    ),
    "COS301-SE-2025/SAMFMS": (
        """
heartbeat = 300
handshake_timeout = 10000
collect_statistics_interval = 30000
management.rates_mode = none
tcp_listen_options.backlog = 128
tcp_listen_options.nodelay = true
tcp_listen_options.keepalive = true
""",
        {f"tcp_listen_options.{option}" for option in ("backlog", "nodelay", "keepalive")},
    ),
    "GabrielBorges2000/processfile": ("max_message_size = 104857600  # 100MB", set()),
    "Camilo555/PwC-Challenge-DataEngineer": ("management.path_prefix = /\nmanagement.tcp.ip = 0.0.0.0", set()),
    "a consul cluster": (
        """
default_user_tags.administrator = true
loopback_users = none
auth_backends.1 = internal
queue_master_locator = client-local
management.cors.allow_origins.1 = *
cluster_formation.consul.svc = rabbitmq
""",
        {"queue_master_locator", "cluster_formation.consul.svc"},
    ),
}

#: Project -> its settings, and the error that prevents the start.
REFUSED = {
    "rabbitmq/rabbitmq-dotnet-client, OAuth tests": (
        "auth_backends.1 = oauth2",
        "a.conf:1: auth_backends has no supported value: only the internal backend is supported",
    ),
    "rabbitmq/rabbitmq-server, OAuth demo": (
        "management.oauth_enabled = true",
        "a.conf:1: management.oauth_enabled: OAuth 2 is not supported, so passwords would be accepted",
    ),
    "ChathurangaKCD/bus-tracking": (
        "mqtt.allow_anonymous = false\nauth_backends.1 = http\nauth_http.http_method = post",
        "a.conf:2: auth_backends has no supported value",
    ),
    "BetterCorp/docker-rabbitmq-cluster": (
        "cluster_formation.peer_discovery_backend = classic_config\nRABBITMQ_CONFIG_FILES=/etc/rabbitmq/conf.d",
        "a.conf:2: there is no setting RABBITMQ_CONFIG_FILES",
    ),
    "JeffreySanford/cosmic-horizons": (
        "vm_memory_high_watermark.relative = 0.6\nqueue_master_location = random",
        "a.conf:2: there is no setting queue_master_location",
    ),
    "a guide that has Erlang's comments": (
        "%% RabbitMQ\nlisteners.ssl.default = 5671",
        "a.conf:1: the line is neither KEY = VALUE nor a comment that begins with #",
    ),
    "a instance of weak TLS": (
        "ssl_options.versions.1 = tlsv1\nssl_options.ciphers.1 = DES-CBC3-SHA",
        "a.conf:2: ssl_options.ciphers has no supported value: OpenSSL does not have this cipher suite",
    ),
    "a collectd plugin": ("<LoadPlugin python>", "a.conf:1: the line is neither KEY = VALUE"),
}


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "a.conf"
        path.write_text(text)
        return path

    return write


def warned_of(warning):
    """Return the key that a warning is about, without the file and the line number at its beginning."""
    return warning.split(": ", 1)[-1].split(" ")[0]


@pytest.mark.parametrize("project", TAKEN)
def test_settings_of_public_projects_are_accepted(project, written):
    text, keys = TAKEN[project]
    assert {warned_of(warning) for warning in load_all([written(text)], {}, []).warnings} == keys


@pytest.mark.parametrize("project", REFUSED)
def test_unsupported_settings_of_public_projects_are_refused(project, written):
    text, line = REFUSED[project]
    path = written(text)
    with pytest.raises(ConfigError) as refused:
        load_all([path], {}, [])
    assert str(refused.value).removeprefix(f"{path.parent}/").startswith(line)
    assert "\n" not in str(refused.value)


def test_settings_of_more_than_twenty_public_projects_are_tested():
    assert len(TAKEN) > 20


def test_old_form_of_the_management_listener_uses_tls(written):
    management = load_all([written(TLS + LEGACY_MANAGEMENT_TLS)], {}, []).config.management
    assert (management.port, management.tls_port, management.tls_host) == (None, 15671, "127.0.0.1")
    assert (management.tls.certfile, management.tls.keyfile) == ("/certs/server.pem", "/certs/key.pem")
    plain = LEGACY_MANAGEMENT_TLS.replace("ssl = true", "ssl = false")
    management = load_all([written(TLS + plain)], {}, []).config.management
    assert (management.port, management.tls_port) == (15671, None)


def test_the_broker_starts_with_the_settings_of_bunnys_container(tmp_path):
    authority = Authority(tmp_path)
    server = authority.issue("server")
    definitions = tmp_path / "definitions.json"
    definitions.write_text('{"vhosts": [{"name": "bunny_instance"}]}')
    text = BUNNY.replace("5672", "0").replace("5671", "0").replace("0.0.0.0", "127.0.0.1")
    for there, here in {
        "/certs/ca.pem": authority.cafile,
        "/certs/server.pem": server.certfile,
        "/certs/key.pem": server.keyfile,
        "/spec/rabbitmq_config/definitions.json": str(definitions),
    }.items():
        text = text.replace(there, here)
    settings = tmp_path / "rabbitmq.conf"
    settings.write_text(text)
    with BrokerProcess(tmp_path, "--config", str(settings), "--management-port", "0") as broker:
        assert "ssl_options.ciphers.3 = ECDH-ECDSA-AES256-GCM-SHA384 is ignored" in broker.log


def test_settings_of_bunnys_container_configure_its_listeners(written):
    config = load_all([written(BUNNY)], {}, []).config
    assert (config.listeners, config.tls_listeners) == ((Listener("0.0.0.0", 5672),), (Listener("127.0.0.1", 5671),))
    assert config.tls.ciphers == tuple(
        f"ECDHE-{kind}-{cipher}" for cipher in ("AES256-GCM-SHA384", "AES128-GCM-SHA256") for kind in ("ECDSA", "RSA")
    )
