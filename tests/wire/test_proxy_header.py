"""PROXY headers: those that RabbitMQ 4.0.5 accepts and shows, and those that it refuses.

RabbitMQ closes the connection of a client whose proxy does not know its address; the specification accepts it.
"""

import socket
import struct

import pytest

from amqpbroker.wire.proxy_header import MOST_BYTES, NAMELESS, ProxyHeader, ProxyHeaderError, missing, parse

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = struct.pack(">HH", 4567, 5672)
IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + PORTS
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + PORTS
UNIX = b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0")
NAMED = ProxyHeader("192.0.2.7", 4567, "198.51.100.1", 5672)
NAMED_6 = ProxyHeader("2001:db8::7", 4567, "2001:db8::1", 5672)


def binary(command, family, data, version=2):
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack(">H", len(data)) + data


def field(kind, data):
    return bytes([kind]) + struct.pack(">H", len(data)) + data


def tls(client, *fields):
    return field(0x20, bytes([client]) + bytes(4) + b"".join(fields))


VERSION, CIPHER = field(0x21, b"TLSv1.2"), field(0x23, b"ECDHE-RSA-AES128-GCM-SHA256")

#: Sent by HAProxy 3.0.11 with `send-proxy-v2 proxy-v2-options crc32c,unique-id`.
HAPROXY = bytes.fromhex("0d0a0d0a000d0a515549540a211100167f0000017f000001eca8b0850300043187052a050000")

ACCEPTED = {
    "v1": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4567 5672\r\n", NAMED),
    "v1 IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4567 5672\r\n", NAMED_6),
    "v1 IPv4 as IPv6": (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 4567 5672\r\n", NAMED),
    "v1 port with zeros": (b"PROXY TCP4 192.0.2.7 198.51.100.1 04567 5672\r\n", NAMED),
    "v2": (binary(1, 0x11, IPV4), NAMED),
    "v2 IPv6": (binary(1, 0x21, IPV6), NAMED_6),
    "v2 datagram": (binary(1, 0x12, IPV4), NAMED),
    "v2 port 0": (binary(1, 0x11, IPV4[:8] + bytes(4)), NAMED._replace(port=0, local_port=0)),
    "v2 local": (binary(0, 0, b""), None),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", NAMELESS),
    "v1 unknown with addresses": (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", NAMELESS),
    "v2 unspecified": (binary(1, 0, b""), NAMELESS),
    "v2 unspecified with fields": (binary(1, 0, b"\1\0\1x"), NAMELESS),
    "v2 local with addresses": (binary(0, 0x11, IPV4), None),
    "v2 fields": (binary(1, 0x11, IPV4 + field(1, b"x") + field(4, b"")), NAMED),
    "v2 TLS": (
        binary(1, 0x11, IPV4 + tls(1, VERSION, field(0x22, b"client.example"), CIPHER)),
        NAMED._replace(tls=("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")),
    ),
    "v2 TLS without a cipher": (binary(1, 0x11, IPV4 + tls(1, VERSION)), NAMED),
    "v2 TLS that was not used": (binary(1, 0x11, IPV4 + tls(0, VERSION, CIPHER)), NAMED),
    "v2 TLS with control characters": (binary(1, 0x11, IPV4 + tls(1, field(0x21, b"TLSv1.2\x1b[0m"), CIPHER)), NAMED),
    "v2 TLS cut off": (binary(1, 0x11, IPV4 + field(0x20, b"\1")), NAMED),
    "v2 short checksum": (binary(1, 0x11, IPV4 + field(3, b"\0")), NAMED),
}
REFUSED = {
    "v1 unknown with a suffix": b"PROXY UNKNOWNS\r\n",
    "v1 unknown without an end": b"PROXY UNKNOWN " + b"1" * 200,
    "v1 unknown without a return": b"PROXY UNKNOWN 1\n" + b"1" * 200,
    "v1 port 0": b"PROXY TCP4 192.0.2.7 198.51.100.1 0 5672\r\n",
    "v1 large port": b"PROXY TCP4 192.0.2.7 198.51.100.1 4567 65536\r\n",
    "v1 address with zeros": b"PROXY TCP4 192.000.002.007 198.51.100.1 4567 5672\r\n",
    "v1 IPv4 in place of IPv6": b"PROXY TCP6 192.0.2.7 198.51.100.1 4567 5672\r\n",
    "v1 other protocol": b"PROXY UDP4 192.0.2.7 198.51.100.1 4567 5672\r\n",
    "v1 two spaces": b"PROXY TCP4  192.0.2.7 198.51.100.1 4567 5672\r\n",
    "v1 no return": b"PROXY TCP4 192.0.2.7 198.51.100.1 4567 5672\n",
    "v1 zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::1 4567 5672\r\n",
    "v1 too long": b"PROXY TCP4 " + b"1" * 200,
    "v2 short": binary(1, 0x11, IPV4[:8]),
    "v2 field cut off": binary(1, 0x11, IPV4 + b"\1\0\x09a"),
    "v2 field without a length": binary(1, 0x11, IPV4 + b"\1\0"),
    "v2 command": binary(2, 0x11, IPV4),
    "v2 version": binary(1, 0x11, IPV4, version=1),
    "v2 family": binary(1, 0x41, IPV4),
    "v2 protocol": binary(1, 0x13, IPV4),
    "v2 unix": binary(1, 0x31, UNIX),
    "v2 wrong checksum": binary(1, 0x11, IPV4 + field(3, b"\0\0\0\1")),
    "v2 too long": binary(1, 0x11, IPV4 + field(4, bytes(MOST_BYTES))),
    "AMQP": b"AMQP\0\0\x09\x01",
    "TLS": b"\x16\x03\x01\x02\x00\x01",
}


def read(data):
    """Read a header from a stream that goes on behind it; return what it says, and what follows."""
    found = b""
    while size := missing(found):
        assert len(found) < len(data), "a read beyond the end"
        found += data[len(found) : len(found) + size]
    return parse(found), data[len(found) :]


@pytest.mark.parametrize(("data", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_header_is_read_to_its_end_and_not_further(data, expected):
    assert read(data + b"AMQP\0\0\x09\x01") == (expected, b"AMQP\0\0\x09\x01")


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_invalid_header_is_refused(data):
    with pytest.raises(ProxyHeaderError):
        read(data)


def test_header_is_refused_at_the_first_wrong_byte():
    for beginning in (b"A", b"PROXY\t", b"\r\n\r\n\0\r\nQUIT\r"):
        assert missing(beginning[:-1])
        with pytest.raises(ProxyHeaderError, match="clients must connect through the proxy"):
            missing(beginning)


def test_wrong_byte_in_a_header_with_a_checksum_is_found():
    assert read(HAPROXY)[0] == ProxyHeader("127.0.0.1", 60584, "127.0.0.1", 45189)
    # The byte that says that there is a checksum is left as it is.
    for place in [place for place in range(len(HAPROXY)) if place != HAPROXY.index(b"\x03\0\x04")]:
        changed = bytearray(HAPROXY)
        changed[place] ^= 2
        with pytest.raises((ProxyHeaderError, AssertionError)):
            read(bytes(changed))
