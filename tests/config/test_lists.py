"""List settings with some ignored values: a warning, or an error if no value remains."""

import pytest

from amqpbroker.config import Assignment, ConfigError, Kind, Origin, ciphers
from amqpbroker.config.loading import made


def assigned(**lists):
    """Return the assignments of one file: each list's values, numbered from 1. `__` in a name stands for a dot."""
    found = []
    for name, values in lists.items():
        for number, value in enumerate(values, 1):
            found.append((f"{name.replace('__', '.')}.{number}", value))
    return [Assignment(key, text, Origin(Kind.FILE, "a.conf", line)) for line, (key, text) in enumerate(found, 1)]


def loaded(**lists):
    warned = []
    return made(assigned(**lists), warned.append), warned


ECDHE_256, ECDHE_128 = "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"
#: All TLS 1.3 suites that OpenSSL offers, so that no version of Python causes a warning.
NEWEST = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]


def test_cipher_suites_of_both_tls_versions_are_accepted():
    config, warned = loaded(ssl_options__ciphers=[ECDHE_128, *NEWEST, ECDHE_256])
    assert config.tls.ciphers == (ECDHE_128, *NEWEST, ECDHE_256)
    assert config.tls.versions == ("tlsv1.3", "tlsv1.2")
    assert warned == []


@pytest.mark.parametrize(
    ("rfc", "openssl"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ECDHE_128),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
        ("TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256", "ECDHE-RSA-CAMELLIA128-SHA256"),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
    ],
)
def test_rfc_names_of_cipher_suites_are_accepted(rfc, openssl):
    config, _ = loaded(ssl_options__ciphers=[rfc], ssl_options__versions=["tlsv1.2"])
    assert config.tls.ciphers == (openssl,)


@pytest.mark.parametrize(
    ("suite", "reason"),
    [
        ("ECDH-ECDSA-AES256-GCM-SHA384", "OpenSSL does not have this cipher suite"),
        ("NO-SUCH-SUITE", "OpenSSL does not have this cipher suite"),
        ("HIGH", "OpenSSL does not have this cipher suite"),
        ("DHE-RSA-AES256-GCM-SHA384", "it needs Diffie-Hellman parameters"),
        ("AECDH-NULL-SHA", "it does not encrypt, or does not authenticate the server"),
        ("PSK-AES256-CBC-SHA", "it does not encrypt, or does not authenticate the server"),
    ],
)
def test_unusable_suite_is_ignored_with_a_warning(suite, reason):
    config, warned = loaded(ssl_options__ciphers=[suite, ECDHE_256], ssl_options__versions=["tlsv1.2"])
    assert config.tls.ciphers == (ECDHE_256,)
    (warning,) = warned
    assert warning.startswith(f"a.conf:1: ssl_options.ciphers.1 = {suite} is ignored: {reason}")
    with pytest.raises(ConfigError, match=r"^a\.conf:1: ssl_options\.ciphers has no supported value: "):
        loaded(ssl_options__ciphers=[suite])


def test_version_without_a_suite_is_disabled():
    """RabbitMQ rejects clients of TLS 1.3 as not secure enough, though they support TLS 1.2 as well."""
    config, warned = loaded(management__ssl__ciphers=[ECDHE_256])
    assert config.management.tls.versions == ("tlsv1.2",)
    assert warned == ["tlsv1.3 is disabled, because management.ssl.ciphers has none of its suites"]
    config, warned = loaded(management__ssl__ciphers=NEWEST)
    assert config.management.tls.versions == ("tlsv1.3",)
    with pytest.raises(ConfigError, match=r"^a\.conf:1: ssl_options\.ciphers has no suite of tlsv1\.3$"):
        loaded(ssl_options__ciphers=[ECDHE_256], ssl_options__versions=["tlsv1.3"])


def test_unavoidable_suites_of_tls_1_3_cause_a_warning(monkeypatch):
    monkeypatch.setattr("amqpbroker.config.assembly.CAN_CHOOSE_TLS_1_3", False)
    config, warned = loaded(ssl_options__ciphers=NEWEST[:1])
    assert (config.tls.ciphers, config.tls.versions) == (tuple(NEWEST[:1]), ("tlsv1.3",))
    assert warned[-1] == (
        "ssl_options.ciphers: TLS 1.3 also uses TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, because this"
        " Python cannot choose its suites; remove tlsv1.3 from ssl_options.versions to prevent that"
    )
    monkeypatch.setattr("amqpbroker.config.assembly.CAN_CHOOSE_TLS_1_3", True)
    assert "TLS 1.3 also uses" not in "".join(loaded(ssl_options__ciphers=NEWEST[:1])[1])


@pytest.mark.skipif(ciphers.CAN_CHOOSE_TLS_1_3, reason="this Python can choose them")
def test_non_default_tls_1_3_suite_is_ignored_with_a_warning():
    _, warned = loaded(ssl_options__ciphers=[*NEWEST, "TLS_AES_128_CCM_SHA256"])
    assert warned[0].startswith(
        "a.conf:4: ssl_options.ciphers.4 = TLS_AES_128_CCM_SHA256 is ignored: TLS 1.3 uses the suites"
    )


def test_insecure_versions_are_ignored():
    config, warned = loaded(ssl_options__versions=["tlsv1.1", "tlsv1.2", "tlsv1"])
    assert config.tls.versions == ("tlsv1.2",)
    assert [warning.partition(" is ignored")[0] for warning in warned] == [
        "a.conf:1: ssl_options.versions.1 = tlsv1.1",
        "a.conf:3: ssl_options.versions.3 = tlsv1",
    ]
    with pytest.raises(ConfigError, match=r"^a\.conf:1: ssl_options\.versions has no supported value: .*tlsv1\.2"):
        loaded(ssl_options__versions=["tlsv1.1"])


@pytest.mark.parametrize("other", ["ldap", "http", "rabbit_auth_backend_oauth2", "cache"])
def test_backend_that_would_admit_more_users_is_ignored(other):
    _, warned = loaded(auth_backends=[other, "internal"])
    assert len(warned) == 1
    assert f"auth_backends.1 = {other} is ignored: only the internal backend" in warned[0]
    with pytest.raises(ConfigError, match=r"^a\.conf:1: auth_backends has no supported value: "):
        loaded(auth_backends=[other])


def test_mechanism_of_a_plugin_is_ignored():
    config, warned = loaded(auth_mechanisms=["PLAIN", "RABBIT-CR-DEMO"])
    assert config.auth_mechanisms == ("PLAIN",)
    assert warned == ["a.conf:2: auth_mechanisms.2 = RABBIT-CR-DEMO is ignored: this mechanism is not supported"]


def backends(text):
    """Load settings given without the prefix `auth_backends.`; return the warnings."""
    lines = [line.split(" = ") for line in text.splitlines()]
    warned = []
    origins = [Origin(Kind.FILE, "a.conf", number) for number in range(1, len(lines) + 1)]
    made(
        [Assignment(f"auth_backends.{key}", value, at) for (key, value), at in zip(lines, origins, strict=True)],
        warned.append,
    )
    return warned


def test_auth_backend_with_unsupported_authn_or_authz_is_ignored():
    """Use the settings of RabbitMQ's guide to LDAP."""
    assert backends("1.authn = ldap\n1.authz = internal\n2 = internal") == [
        "a.conf:1: auth_backends.1.authn = ldap is ignored: only the internal backend is supported"
    ]
    assert backends("1.authn = internal\n1.authz = rabbit_auth_backend_internal") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1.authn = ldap", 1),
        ("1.authn = ldap\n1.authz = internal", 1),
        ("1.authn = ldap\n1.authz = ldap\n2 = http", 3),
        ("1 = internal\n1.authn = ldap", 2),
    ],
)
def test_start_fails_without_a_completely_internal_backend(text, line):
    with pytest.raises(ConfigError, match=rf"^a\.conf:{line}: auth_backends has no supported value: "):
        backends(text)


@pytest.mark.parametrize("text", ["1.authn = internal\n1.authz = http", "2 = internal\n1.authz = http"])
def test_permissions_of_another_backend_are_refused(text):
    """Without the backend, users would have the permissions of this broker, which may be more."""
    with pytest.raises(ConfigError, match=r"^a\.conf:2: auth_backends\.1\.authz must be internal, "):
        backends(text)
