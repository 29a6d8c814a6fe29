"""Contexts from files, and what two ends agree on: handshakes in memory."""

import contextlib
import datetime
import logging
import ssl
from pathlib import Path

import pytest

from amqpbroker.amqp.peer import Encryption
from amqpbroker.broker.node import Certificates
from amqpbroker.config import SniHost, Tls
from amqpbroker.config.ciphers import CAN_CHOOSE_TLS_1_3
from amqpbroker.server.tls import TlsContexts, TlsError, describe
from tests.certificates import NOT_AFTER, Authority, name


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def server(authority):
    return authority.issue("server")


def contexts(server, **options):
    return TlsContexts(Tls(certfile=server.certfile, keyfile=server.keyfile, **options), "ssl_options")


class Ends:
    """A client and a server that talk in memory; `shake` raises what the server's handshake raises."""

    def __init__(self, context, authority, certificate=None, host="localhost", version=None, again=None, ciphers=""):
        """Connect both ends. again: ends whose session the client resumes. ciphers: of the client, in its order."""
        if again is not None:
            trusting = again.client.context
        else:
            trusting = ssl.create_default_context(cafile=authority.cafile)
        if certificate is not None:
            trusting.load_cert_chain(*certificate)
        if ciphers:
            trusting.set_ciphers(ciphers)
        if version is not None:
            trusting.minimum_version = trusting.maximum_version = version
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = None if again is None else again.client.session
        self.client = trusting.wrap_bio(to_client, to_server, server_hostname=host, session=session)
        self.server = context.wrap_bio(to_server, to_client, server_side=True)

    def shake(self):
        for _ in range(4):
            for end in (self.client, self.server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        return self


def common_name_seen(context, authority, host="localhost"):
    """Return the common name of the server, as the client sees it."""
    subject = Ends(context, authority, host=host).shake().client.getpeercert()["subject"]
    return dict(pair for part in subject for pair in part)["commonName"]


# --- what is spoken ---------------------------------------------------------------------------------------------------


def test_client_that_trusts_the_authority_completes_the_handshake(authority, server):
    ends = Ends(contexts(server).context, authority).shake()
    assert describe(ends.server) == Encryption("tlsv1.3", "any", "aes_256_gcm", "aead")


def test_tls_1_2_is_supported(authority, server):
    ends = Ends(contexts(server).context, authority, version=ssl.TLSVersion.TLSv1_2).shake()
    assert describe(ends.server) == Encryption("tlsv1.2", "ecdhe_ecdsa", "aes_256_gcm", "aead")


def test_tls_1_2_is_refused_if_only_tls_1_3_is_enabled(authority, server):
    ends = Ends(contexts(server, versions=("tlsv1.3",)).context, authority, version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        ends.shake()


AES_256, AES_128 = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"


def agreed(options, authority, server, ciphers=f"{AES_256}:{AES_128}"):
    """Return the suite that is negotiated with a TLS 1.2 client, which prefers the first of its ciphers."""
    context = contexts(server, versions=("tlsv1.2",), **options).context
    return Ends(context, authority, ciphers=ciphers).shake().server.cipher()[0]


@pytest.mark.parametrize("ours", [(AES_128, AES_256), (AES_256, AES_128)])
def test_client_chooses_the_cipher_suite_without_honor_cipher_order(ours, authority, server):
    assert agreed({"ciphers": ours}, authority, server) == AES_256
    assert agreed({"ciphers": ours, "honor_cipher_order": True}, authority, server) == ours[0]


def test_only_the_listed_cipher_suites_are_used(authority, server):
    assert agreed({"ciphers": (AES_128,)}, authority, server) == AES_128
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        agreed({"ciphers": (AES_128,)}, authority, server, AES_256)


def test_cipher_list_can_consist_of_tls_1_3_suites_only(authority, server):
    only = contexts(server, versions=("tlsv1.3",), ciphers=("TLS_AES_128_GCM_SHA256",)).context
    suite = Ends(only, authority).shake().server.cipher()[0]
    assert suite == "TLS_AES_128_GCM_SHA256" if CAN_CHOOSE_TLS_1_3 else suite.startswith("TLS_AES_")


def test_tls_1_3_suites_are_set_if_python_supports_it(monkeypatch, authority, server):
    chosen = []
    monkeypatch.setattr("amqpbroker.server.tls.CAN_CHOOSE_TLS_1_3", True)
    monkeypatch.setattr(ssl.SSLContext, "set_ciphersuites", lambda _, names: chosen.append(names), raising=False)
    contexts(server, ciphers=("TLS_AES_256_GCM_SHA384", AES_128, "TLS_AES_128_GCM_SHA256"))
    assert chosen == ["TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"]


def test_tls_session_can_be_resumed_until_certificates_are_reloaded(authority, server):
    kept = contexts(server, cacertfile=authority.cafile, verify_peer=True)
    first = Ends(kept.context, authority, authority.issue("client"), version=ssl.TLSVersion.TLSv1_2).shake()
    encryption = describe(first.server)
    assert not first.client.session.has_ticket
    again = Ends(kept.context, authority, again=first).shake()
    assert again.server.session_reused
    assert describe(again.server) == encryption
    kept.reload()
    assert not Ends(kept.context, authority, again=first).shake().server.session_reused


# --- clients' certificates --------------------------------------------------------------------------------------------


def test_client_certificate_is_not_requested_by_default(authority, server):
    ends = Ends(contexts(server).context, authority, authority.issue("client")).shake()
    assert describe(ends.server).certificate is None


def test_client_certificate_is_requested_with_verify_peer(authority, server):
    asking = contexts(server, cacertfile=authority.cafile, verify_peer=True)
    assert (
        describe(Ends(asking.context, authority, authority.issue("client")).shake().server).certificate.subject
        == "CN=client"
    )
    assert describe(Ends(asking.context, authority).shake().server).certificate is None


def test_client_certificate_is_required(authority, server):
    demanding = contexts(server, cacertfile=authority.cafile, verify_peer=True, fail_if_no_peer_cert=True)
    Ends(demanding.context, authority, authority.issue("client")).shake()
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        Ends(demanding.context, authority).shake()


def test_client_certificate_of_another_authority_is_refused(authority, server, tmp_path):
    other = Authority(tmp_path, "other authority")
    asking = contexts(server, cacertfile=authority.cafile, verify_peer=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        Ends(asking.context, authority, other.issue("client")).shake()


def test_expired_certificate_is_refused(authority, server):
    expired = authority.issue("client", not_after=datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC))
    asking = contexts(server, cacertfile=authority.cafile, verify_peer=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        Ends(asking.context, authority, expired).shake()


@pytest.mark.parametrize(("depth", "reaches"), [(0, False), (1, True)])
def test_client_certificate_chain_longer_than_the_depth_is_refused(authority, server, tmp_path, depth, reaches):
    between = Authority(tmp_path, "between", between=authority)
    asking = contexts(server, cacertfile=authority.cafile, verify_peer=True, depth=depth)
    ends = Ends(asking.context, authority, between.issue("client")).shake()
    if reaches:
        assert describe(ends.server).certificate.issuer == "CN=between"
    else:
        with pytest.raises(TlsError, match="too far from its authority"):
            describe(ends.server)


def test_resumed_tls_session_is_refused_if_its_chain_was_too_long(authority, server, tmp_path):
    client = Authority(tmp_path, "between", between=authority).issue("client")
    asking = contexts(server, cacertfile=authority.cafile, verify_peer=True, depth=0)
    first = Ends(asking.context, authority, client, version=ssl.TLSVersion.TLSv1_2).shake()
    again = Ends(asking.context, authority, again=first).shake()
    assert again.server.session_reused  # OpenSSL knows of no depth
    for ends in first, again:
        with pytest.raises(TlsError, match="too far from its authority"):
            describe(ends.server)


def test_intermediate_authority_in_cacertfile_is_trusted(authority, server, tmp_path):
    between = Authority(tmp_path, "between", between=authority)
    asking = contexts(server, cacertfile=between.cafile, verify_peer=True, depth=0)
    ends = Ends(asking.context, authority, between.issue("client")).shake()
    assert describe(ends.server).certificate.subject == "CN=client"


# --- by host ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_host(authority, server):
    from cryptography import x509

    other = authority.issue("other", name("the other"), [x509.DNSName("other.example")])
    return contexts(server, sni=(SniHost("other.example", other.certfile, other.keyfile),))


def test_certificate_is_selected_by_the_requested_host_name(by_host, authority):
    context = by_host.context
    assert common_name_seen(context, authority) == "server"
    assert common_name_seen(context, authority, "other.example") == "the other"
    assert common_name_seen(context, authority, "OTHER.example") == "the other"


# --- reading them again -----------------------------------------------------------------------------------------------


def test_reloaded_certificates_apply_to_new_connections(authority, server):
    kept = contexts(server)
    authority.issue("server", name("the new one"))
    assert common_name_seen(kept.context, authority) == "server"
    kept.reload()
    assert common_name_seen(kept.context, authority) == "the new one"


def test_new_authorities_apply_to_new_connections(authority, server, tmp_path):
    other = Authority(tmp_path, "other authority")
    file = tmp_path / "authorities.pem"
    file.write_bytes(authority.pem)
    asking = contexts(server, cacertfile=str(file), verify_peer=True, fail_if_no_peer_cert=True)
    file.write_bytes(other.pem)
    asking.reload()
    context = asking.context
    Ends(context, authority, other.issue("client")).shake()
    with pytest.raises(ssl.SSLCertVerificationError):
        Ends(context, authority, authority.issue("old")).shake()


def test_expiry_dates_of_certificates_are_read_and_updated_by_a_reload(authority, server):
    kept = contexts(server, cacertfile=authority.cafile)
    ends_ms = (int(NOT_AFTER.timestamp()) * 1000,)
    assert kept.certificates == Certificates(server.certfile, authority.cafile, ends_ms, ends_ms)
    authority.issue("server", not_after=datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC))
    kept.reload()
    assert kept.certificates.certfile_expires_ms == (1_893_456_000_000,)
    assert contexts(server).certificates.cacertfile_expires_ms == ()


def test_reload_of_invalid_files_logs_an_error_and_keeps_the_certificates(authority, server, caplog):
    kept = contexts(server)
    Path(server.certfile).write_text("nonsense")
    with caplog.at_level(logging.ERROR):
        kept.reload()
    assert f"{server.certfile}: there is no certificate in it, as PEM" in caplog.text
    assert common_name_seen(kept.context, authority) == "server"


# --- what does not work -----------------------------------------------------------------------------------------------


def problem(**options):
    with pytest.raises(TlsError) as raised:
        TlsContexts(Tls(**options), "ssl_options")
    return str(raised.value)


def test_missing_certificate_setting_is_an_error():
    assert problem() == "ssl_options.certfile is not set: TLS needs a certificate"


def test_missing_certificate_and_key_files_are_an_error(server, tmp_path):
    gone = str(tmp_path / "gone.pem")
    reason = f"{gone}: No such file or directory"
    assert problem(certfile=gone, keyfile=server.keyfile) == reason
    assert problem(certfile=server.certfile, keyfile=gone) == reason
    assert problem(certfile=server.certfile, keyfile=server.keyfile, cacertfile=gone) == reason


def test_invalid_certificate_and_key_files_are_an_error(server, tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("hello")
    no_certificate = f"{bad}: there is no certificate in it, as PEM"
    assert problem(certfile=str(bad), keyfile=server.keyfile).startswith(no_certificate)
    assert problem(certfile=server.certfile, keyfile=server.keyfile, cacertfile=str(bad)).startswith(no_certificate)
    no_key = f"{bad}: there is no private key in it, as PEM"
    assert problem(certfile=server.certfile, keyfile=str(bad)).startswith(no_key)


def test_certificate_file_without_a_key_is_an_error(server):
    assert problem(certfile=server.certfile).startswith(f"{server.certfile}: there is no private key in it")


def test_certificate_and_key_can_be_in_one_file(authority, server, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(Path(server.certfile).read_text() + Path(server.keyfile).read_text())
    Ends(TlsContexts(Tls(certfile=str(both)), "ssl_options").context, authority).shake()


def test_key_of_another_certificate_is_an_error(authority, server):
    other = authority.issue("other")
    assert problem(certfile=server.certfile, keyfile=other.keyfile) == (
        f"{other.keyfile}: this is not the key of the certificate in {server.certfile}"
    )


def test_encrypted_key_requires_its_password(authority):
    issued = authority.issue("secret", password=b"hunter2")
    files = {"certfile": issued.certfile, "keyfile": issued.keyfile}
    assert problem(**files) == f"{issued.keyfile}: the key is encrypted: set ssl_options.password"
    wrong = problem(**files, password="hunter3")
    assert wrong == f"{issued.keyfile}: ssl_options.password is not the password of this key"
    TlsContexts(Tls(**files, password="hunter2"), "ssl_options")


def test_clients_cannot_be_verified_without_authorities(server):
    assert "cacertfile must name" in problem(certfile=server.certfile, keyfile=server.keyfile, verify_peer=True)


def test_error_names_the_sni_host_without_a_certificate(server):
    incomplete = problem(certfile=server.certfile, keyfile=server.keyfile, sni=(SniHost("a.example"),))
    assert incomplete == "ssl_options.sni.a.example.certfile is not set: TLS needs a certificate"
