"""Certificates for tests: authorities and the certificates that they issue, as PEM files."""

import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: All certificates of tests are valid from this time on.
NOT_BEFORE = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
NOT_AFTER = datetime.datetime(2044, 1, 1, tzinfo=datetime.UTC)

LOCALHOST = (x509.DNSName("localhost"),)


class Issued(NamedTuple):
    """The files of a certificate (with the intermediate certificates up to the authority) and of its key."""

    certfile: str
    keyfile: str


def name(common_name, *further):
    """Return a distinguished name: the further (oid, value) pairs first, then the common name."""
    pairs = [*further, (NameOID.COMMON_NAME, common_name)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


class Authority:
    """Issues certificates into `directory`. cafile: its own certificate. between: the authority that has issued it."""

    def __init__(self, directory: Path, common_name="test authority", between=None):
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._parent = between
        signer = between or self
        self.subject = name(common_name)
        certificate = (
            _builder(self.subject, signer.subject, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(authority=True), critical=True)
            .sign(signer._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.cafile = str(self._write(f"{common_name.replace(' ', '-')}.pem", self.pem))

    def issue(self, file, subject=None, alternative_names=LOCALHOST, password=None, not_after=NOT_AFTER):
        """Issue a certificate for a server or a client, in FILE.pem and FILE-key.pem, replacing existing files."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject or name(file), self.subject, key, not_after)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer_key, critical=False)
        if alternative_names:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
        chain = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        authority = self
        while authority._parent is not None:
            chain += authority.pem
            authority = authority._parent
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        return Issued(str(self._write(f"{file}.pem", chain)), str(self._write(f"{file}-key.pem", pem)))

    def _write(self, file, data):
        path = self.directory / file
        path.write_bytes(data)
        return path


def _builder(subject, issuer, key, not_after=NOT_AFTER):
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(not_after)
    )


def _usage(authority):
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
