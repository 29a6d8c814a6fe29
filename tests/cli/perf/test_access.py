import pytest

from amqpbroker.cli.perf.access import Tls, Uri
from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.failure import PerfError
from tests.certificates import Authority, name
from tests.process import BrokerProcess


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("amqp://", Uri()),
        ("amqp://host", Uri("host")),
        ("amqp://host/", Uri("host")),
        ("amqp://host/%2f", Uri("host")),
        ("amqp://host/a%2Fb", Uri("host", vhost="a/b")),
        ("amqp://a%40b:p%3Aw@[::1]:1234/v", Uri("::1", 1234, "a@b", "p:w", "v")),
        ("amqps://host", Uri("host", 5671, tls=True)),
    ],
)
def test_every_part_of_a_perf_uri_is_optional(text, uri):
    assert Uri.parse(text) == uri


@pytest.mark.parametrize("text", ["http://u:hush@h", "h:5672", "amqp://u:hush@h:many", "amqp://u:hush@h:70000"])
def test_errors_about_uris_do_not_contain_the_password(text):
    with pytest.raises(ValueError, match="amqp://USER:PASSWORD@HOST") as told:
        Uri.parse(text)
    assert "hush" not in str(told.value)


def test_password_of_a_perf_uri_is_never_shown():
    uri = Uri.parse("amqp://me:hush@host/a%2Fb")
    assert str(uri) == "amqp://me@host:5672/a%2Fb"
    assert "hush" not in f"{uri} {uri!r}"


def test_a_login_by_certificate_has_no_user_name():
    assert str(Uri("host", 5671, user="", tls=True)) == "amqps://host:5671/"


USER = "CN=client"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("client", name("client"))


@pytest.fixture(scope="module")
def strict(tmp_path_factory, authority):
    """A broker that requires a certificate of every client."""
    server = authority.issue("server")
    settings = {
        "listeners.ssl.default": "127.0.0.1:0",
        "ssl_options.certfile": server.certfile,
        "ssl_options.keyfile": server.keyfile,
        "ssl_options.cacertfile": authority.cafile,
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true",
        "auth_mechanisms.1": "EXTERNAL",
        "default_user": USER,
    }
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with BrokerProcess(tmp_path_factory.mktemp("strict"), *arguments) as process:
        yield process


def access(broker, tls, external=True):
    return Access(Uri("localhost", broker.port_of("amqp/ssl"), tls=True), tls=tls, external=external)


def test_a_certificate_logs_its_user_in(strict, authority, certificate):
    client = Client(access(strict, Tls(authority.cafile, *certificate)))
    client.open_channel()
    assert client.close()


def test_missing_client_certificate_is_reported_with_advice(strict, authority):
    with pytest.raises(PerfError, match="wants a certificate, name it with --certfile"):
        Client(access(strict, Tls(authority.cafile)))


def test_password_login_is_refused_if_the_broker_offers_only_external(strict, authority, certificate):
    with pytest.raises(PerfError, match="the broker does not accept the login mechanism PLAIN; it offers EXTERNAL"):
        Client(access(strict, Tls(authority.cafile, *certificate), external=False))


def test_untrusted_broker_is_reported_with_advice(strict, certificate):
    with pytest.raises(PerfError, match="name the authority with --cacertfile, or use --insecure"):
        Client(access(strict, Tls(None, *certificate)))
    assert Client(access(strict, Tls(None, *certificate, insecure=True))).close()


def test_invalid_certificate_and_key_files_are_an_error(authority, certificate):
    for wrong in (Tls(certfile=authority.cafile), Tls(certfile=__file__, keyfile=certificate.keyfile)):
        with pytest.raises(PerfError, match="no certificate with its key: no PEM"):
            wrong.context()
    other = authority.issue("another")
    with pytest.raises(PerfError, match="the key is of another certificate"):
        Tls(certfile=certificate.certfile, keyfile=other.keyfile).context()
    with pytest.raises(PerfError, match="has no certificates"):
        Tls(cacertfile=__file__).context()


def test_encrypted_key_is_an_error_without_a_password_prompt(authority):
    secret = authority.issue("secret", password=b"hush")
    with pytest.raises(PerfError, match="the key is encrypted"):
        Tls(certfile=secret.certfile, keyfile=secret.keyfile).context()
