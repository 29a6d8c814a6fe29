import json
import ssl
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.certificates import Authority
from tests.process import BrokerProcess
from tools.metrics_golden import ENDPOINTS, busy

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """The address of a broker's metrics while pika's connections are open that did a little of everything."""
    directory = tmp_path_factory.mktemp("metrics")
    with BrokerProcess(directory, "--data-dir", str(directory / "data")) as broker:
        ((_, port),) = json.loads(broker.ready_file.read_text())["http/prometheus"]
        connections = busy("127.0.0.1", broker.port, ("/",))
        yield f"http://127.0.0.1:{port}/metrics"
        for connection in connections:
            connection.close()


def read(url, accept="text/plain", context=None):
    request = urllib.request.Request(url, headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_prometheus_parses_every_metrics_endpoint(metrics, endpoint):
    text = list(parse_text(read(metrics + endpoint)))
    other = list(parse_openmetrics(read(metrics + endpoint, OPENMETRICS)))
    # RabbitMQ has a counter whose name does not end with _total, about which the parsers do not agree.
    text, other = ([each for each in found if not each.name.endswith("stream_segments")] for found in (text, other))
    assert [(each.name, each.type) for each in text] == [(each.name, each.type) for each in other]
    assert "rabbitmq_build_info" in {each.name for each in text}


def test_metrics_count_connections_and_messages(metrics):
    families = list(parse_text(read(metrics)))
    samples = {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}
    expired = "rabbitmq_global_messages_dead_lettered_expired_total"
    assert samples[("rabbitmq_connections",)] == 1
    assert samples[("rabbitmq_channel_messages_published_total",)] == 23
    assert samples[("rabbitmq_channel_messages_confirmed_total",)] == 20
    assert samples[("rabbitmq_queue_messages_published_total",)] == 21
    assert samples[("rabbitmq_global_messages_received_total", "amqp091")] == 23
    assert samples[(expired, "rabbit_classic_queue", "at_most_once")] == 5
    assert samples[("rabbitmq_process_resident_memory_bytes",)] > 10_000_000
    assert samples[("rabbitmq_disk_space_available_bytes",)] > 0
    assert samples[("rabbitmq_process_open_fds",)] > 5


def test_metrics_can_be_served_over_tls_only(tmp_path):
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    settings = {"port": "0", "certfile": issued.certfile, "keyfile": issued.keyfile}
    arguments = [part for key, value in settings.items() for part in ("--set", f"prometheus.ssl.{key}={value}")]
    with BrokerProcess(tmp_path, *arguments) as broker:
        context = ssl.create_default_context(cafile=authority.cafile)
        assert "rabbitmq_build_info{" in read(
            f"https://localhost:{broker.port_of('https/prometheus')}/metrics", context=context
        )
        assert "http/prometheus" not in json.loads(broker.ready_file.read_text())
