import ssl

import pytest

from amqpbroker.client.login import LinkError
from amqpbroker.client.tls import tls_context
from amqpbroker.client.uri import TlsOptions
from tests.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


def test_broker_is_verified_unless_the_uri_says_otherwise(authority):
    context = tls_context(TlsOptions(authority.cafile))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert len(context.get_ca_certs()) == 1
    context = tls_context(TlsOptions("/nowhere", verify=False))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_encrypted_tls_key_requires_its_password(authority):
    secret = authority.issue("secret", password=b"hush")
    tls_context(TlsOptions(authority.cafile, secret.certfile, secret.keyfile, "hush"))
    with pytest.raises(LinkError, match=secret.keyfile):  # instead of asking for it at the terminal
        tls_context(TlsOptions(authority.cafile, secret.certfile, secret.keyfile))


@pytest.mark.parametrize("field", ["cacertfile", "certfile"])
def test_unusable_files_are_named_in_the_error(field):
    with pytest.raises(LinkError, match="/nowhere: No such file or directory"):
        tls_context(TlsOptions(**{field: "/nowhere"}))
    with pytest.raises(LinkError, match=__file__):
        tls_context(TlsOptions(**{field: __file__}))
