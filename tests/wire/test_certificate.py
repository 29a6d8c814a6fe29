import contextlib
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.certificate import decode_certificate
from amqpbroker.wire.values import MalformedError
from tests.certificates import Authority, name


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def der(issued):
    with open(issued.certfile, "rb") as file:
        return x509.load_pem_x509_certificate(file.read()).public_bytes(serialization.Encoding.DER)


@pytest.fixture(scope="module")
def decoded(authority):
    def decode(subject, *alternative_names):
        return decode_certificate(der(authority.issue("client", subject, alternative_names)))

    return decode


def test_certificate_subject_issuer_and_validity_are_decoded(decoded):
    certificate = decoded(name("client", (NameOID.ORGANIZATION_NAME, "x")))
    assert certificate.subject == "CN=client,O=x"
    assert certificate.issuer == "CN=test authority"
    assert certificate.validity == "2024-01-01T00:00:00Z - 2044-01-01T00:00:00Z"
    assert certificate.common_names == ("client",)
    assert certificate.alternative_names == ()


def test_a_distinguished_name_is_written_as_rabbitmq_writes_it(decoded):
    """The expected name was shown by RabbitMQ 4.0.5 for the same subject."""
    subject = name(
        "full cn",
        (NameOID.COUNTRY_NAME, "DE"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Bayern, Süd"),
        (NameOID.LOCALITY_NAME, "#hash"),
        (NameOID.STREET_ADDRESS, " lead trail "),
        (NameOID.ORGANIZATION_NAME, 'Quote" plus+ <a;b>\\'),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "U1"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "U2=x"),
        (NameOID.TITLE, "Dr"),
        (NameOID.GIVEN_NAME, "Gi"),
        (NameOID.SURNAME, "Su"),
        (NameOID.INITIALS, "GS"),
        (NameOID.GENERATION_QUALIFIER, "jr"),
        (NameOID.DN_QUALIFIER, "dq"),
        (NameOID.PSEUDONYM, "ps"),
        (NameOID.SERIAL_NUMBER, "123"),
        (NameOID.USER_ID, "uid1"),
        (NameOID.DOMAIN_COMPONENT, "org"),
        (NameOID.DOMAIN_COMPONENT, "ex"),
        (NameOID.EMAIL_ADDRESS, "a@b.c"),
        (NameOID.BUSINESS_CATEGORY, "bc"),
        (ObjectIdentifier("1.2.3.4.5"), "unk"),
    )
    assert decoded(subject).subject == (
        "CN=full cn,1.2.3.4.5=unk,2.5.4.15=bc,EMAILADDRESS=a@b.c,DC=ex,DC=org,UID=uid1,SERIALNUMBER=123,PSEUDONYM=ps,"
        "2.5.4.46=dq,GENERATIONQUALIFIER=jr,INITIALS=GS,SN=Su,GIVENNAME=Gi,TITLE=Dr,OU=U2=x,OU=U1,"
        'O=Quote\\" plus\\+ \\<a\\;b\\>\\\\,2.5.4.9=\\ lead trail\\ ,L=\\#hash,ST=Bayern\\, S\\C3\\BCd,C=DE'
    )


def test_distinguished_name_part_with_several_values_is_decoded(decoded):
    pairs = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "org"), x509.NameAttribute(NameOID.COMMON_NAME, "mcn")]
    certificate = decoded(x509.Name([x509.RelativeDistinguishedName(pairs)]))
    assert certificate.subject == "CN=mcn+O=org"
    assert certificate.common_names == ("mcn",)


def test_several_common_names_of_a_certificate_are_decoded(decoded):
    assert decoded(name("second", (NameOID.COMMON_NAME, "first"))).common_names == ("first", "second")


def test_subject_alternative_names_of_every_type_are_decoded(decoded):
    certificate = decoded(
        name("client"),
        x509.DNSName("a.example"),
        x509.DNSName("b.example"),
        x509.RFC822Name("m@example"),
        x509.UniformResourceIdentifier("urn:u:1"),
        x509.IPAddress(ipaddress.ip_address("10.1.2.3")),
        x509.IPAddress(ipaddress.ip_address("fd00::1")),
        x509.DirectoryName(name("elsewhere")),
        x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05other"),
    )
    assert certificate.alternative_names == (
        ("dns", "a.example"),
        ("dns", "b.example"),
        ("email", "m@example"),
        ("uri", "urn:u:1"),
        ("ip", "10.1.2.3"),
        ("ip", "fd00::1"),
        ("other_name", "other"),
    )


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x03abc", b"no certificate"])
def test_an_invalid_certificate_is_malformed(data):
    with pytest.raises(MalformedError):
        decode_certificate(data)


@pytest.fixture(scope="module")
def good(authority):
    return der(authority.issue("good"))


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_damaged_certificate_is_decoded_or_malformed(good, place, byte):
    place %= len(good)
    with contextlib.suppress(MalformedError):
        decode_certificate(good[:place] + bytes([byte]) + good[place + 1 :])
