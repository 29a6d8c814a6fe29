import json

import pytest

from amqpbroker.amqp.peer import Peer, encryption, encryption_from
from amqpbroker.wire.certificate import Certificate
from tests.harness import Wire, make_broker

CERTIFICATE = Certificate(
    "CN=client,O=x", "CN=authority", "2024-01-01T00:00:00Z - 2044-01-01T00:00:00Z", ("client",), ()
)


@pytest.mark.parametrize(
    ("suite", "shown"),
    [
        ("TLS_AES_128_GCM_SHA256", ("any", "aes_128_gcm", "aead")),
        ("TLS_CHACHA20_POLY1305_SHA256", ("any", "chacha20_poly1305", "aead")),
        ("ECDHE-RSA-AES128-GCM-SHA256", ("ecdhe_rsa", "aes_128_gcm", "aead")),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", ("ecdhe_ecdsa", "chacha20_poly1305", "aead")),
        ("ECDHE-RSA-AES256-SHA384", ("ecdhe_rsa", "aes_256_cbc", "sha384")),
        ("DHE-RSA-AES256-GCM-SHA384", ("dhe_rsa", "aes_256_gcm", "aead")),
        ("AES128-SHA", ("rsa", "aes_128_cbc", "sha")),
        ("SOMETHING-NEW", ("", "something-new", "")),
    ],
)
def test_cipher_suites_are_named_as_in_erlang(suite, shown):
    got = encryption(suite, "TLSv1.2")
    assert (got.key_exchange, got.cipher, got.hash) == shown


def shown(tls):
    info = Wire(make_broker(), tls=tls).log_in().connection.info()
    names = ("ssl", "ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash")
    return [getattr(info, name) for name in (*names, "peer_cert_subject", "peer_cert_issuer", "peer_cert_validity")]


def test_a_tls_connection_shows_its_parameters_and_the_certificate():
    suite = "TLS_AES_256_GCM_SHA384", "TLSv1.3"
    agreed = [True, "tlsv1.3", "any", "aes_256_gcm", "aead"]
    assert shown(encryption(*suite)) == [*agreed, None, None, None]
    certificate = ["CN=client,O=x", "CN=authority", "2024-01-01T00:00:00Z - 2044-01-01T00:00:00Z"]
    assert shown(encryption(*suite, CERTIFICATE)) == [*agreed, *certificate]


def test_a_connection_without_tls_shows_no_parameters():
    assert shown(None) == [False, *[None] * 7]


def test_a_connection_is_named_by_both_ends() -> None:
    assert Peer("10.0.0.9", 4711, "10.0.0.1", 5672).name == "10.0.0.9:4711 -> 10.0.0.1:5672"
    assert Peer("2001:db8::7", 4711, "::1", 5672).name == "[2001:db8::7]:4711 -> [::1]:5672"


@pytest.mark.parametrize(
    ("host", "proxy_host", "counts"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("192.0.2.7", "127.0.0.1", "192.0.2.7"),
        ("127.0.0.9", "127.0.0.1", "127.0.0.1"),
        # A header cannot make a client one of this machine.
        ("127.0.0.9", "10.0.0.1", "10.0.0.1"),
        ("192.0.2.7", "10.0.0.1", "192.0.2.7"),
    ],
)
def test_a_proxy_on_another_machine_cannot_log_in_users_of_this_one(host, proxy_host, counts) -> None:
    assert Peer(host, 4711, "10.0.0.1", 5672, proxy_host=proxy_host).login_host == counts


@pytest.mark.parametrize(("host", "counts"), [("127.0.0.1", ""), ("::1", ""), ("192.0.2.7", "192.0.2.7")])
def test_client_whose_proxy_does_not_know_its_address_is_not_one_of_this_machine(host, counts) -> None:
    assert Peer(host, 4711, "10.0.0.1", 5672, proxy_host=host, is_nameless=True).login_host == counts


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        CERTIFICATE,
        Certificate("CN=a", "CN=b", "from - to", ("a", "ä"), (("dns", "localhost"), ("ip", "::1"))),
    ],
)
def test_encryption_is_the_same_after_json(certificate):
    tls = encryption("TLS_AES_256_GCM_SHA384", "TLSv1.3", certificate)
    assert encryption_from(json.loads(json.dumps(tls.facts()))) == tls


@pytest.mark.parametrize(
    "facts",
    [
        None,
        "text",
        [],
        ["tlsv1.3", "any", "aes_256_gcm", 1, None],
        ["tlsv1.3", "any", "aes_256_gcm", "aead", 1],
        ["tlsv1.3", "any", "aes_256_gcm", "aead", ["CN=a", "CN=b", "from - to", [1], []]],
        ["tlsv1.3", "any", "aes_256_gcm", "aead", ["CN=a", "CN=b", "from - to", [], [["dns"]]]],
        ["tlsv1.3", "any", "aes_256_gcm", "aead", ["CN=a", "CN=b", "from - to", [], [["dns", 1]]]],
        ["tlsv1.3", "any", "aes_256_gcm", "aead", ["CN=a", "CN=b", "from - to", [], [1]]],
    ],
)
def test_facts_that_describe_no_encryption_are_refused(facts):
    with pytest.raises((ValueError, TypeError)):
        encryption_from(facts)
