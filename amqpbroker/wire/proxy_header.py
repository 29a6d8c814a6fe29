"""The header with which a proxy names the addresses of the client that it connects: PROXY protocol, versions 1 and 2.

A header must name addresses of the internet, as RabbitMQ requires it (ranch_proxy_header), be the LOCAL header of a
connection that the proxy makes for itself, or say that the proxy does not know the client's address (UNKNOWN, UNSPEC).
"""

import ipaddress
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_LINE: Final = b"PROXY "
_UNKNOWN: Final = b"PROXY UNKNOWN"
_V1: Final = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
#: Bytes of version 2 that tell the length of the rest, fewer than any header of version 1 with addresses has.
_HEAD_BYTES: Final = 16
#: Longest header of version 1, by the specification, and of version 2, whose certificate names may be long.
_MOST_LINE_BYTES: Final = 107
MOST_BYTES: Final = 2048
#: Number of a family of addresses in version 2 -> the bytes of an address.
_FAMILIES: Final = {1: 4, 2: 16}
_LOCAL: Final = 0
_PROXIED: Final = 1
#: Types of further fields of version 2.
_CHECKSUM: Final = 0x03
_TLS: Final = 0x20
_TLS_VERSION: Final = 0x21
_TLS_CIPHER: Final = 0x23
#: Names of versions and cipher suites, which are shown.
_TLS_NAME: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
#: The polynomial of CRC-32C, with its bits in reverse order.
_POLYNOMIAL: Final = 0x82F63B78


def _divided(byte: int) -> int:
    """Return the remainder of a byte, for the table of the checksum."""
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_divided, range(256)))


class ProxyHeaderError(Exception):
    """A header that is invalid, or names no addresses; the text says what is wrong."""


class ProxyHeader(NamedTuple):
    """The addresses that a client and the proxy had in their connection; empty if the proxy does not know them.

    tls: version and cipher suite if the client used TLS there, in OpenSSL's words, as TLSv1.2 and
    ECDHE-RSA-AES128-GCM-SHA256; otherwise None.
    """

    host: str
    port: int
    local_host: str
    local_port: int
    tls: tuple[str, str] | None = None


#: The header of a client whose address the proxy does not know.
NAMELESS: Final = ProxyHeader("", 0, "", 0)


def missing(data: bytes) -> int:
    """Return how many bytes to read at least after the first ones of a header, none of which follows it; 0 at its end.

    Raises ProxyHeaderError as soon as it cannot become a valid header.
    """
    if not (_SIGNATURE.startswith(data[:12]) or _LINE.startswith(data[:6])):
        raise ProxyHeaderError("it begins with something else: clients must connect through the proxy")
    if data.startswith(_UNKNOWN):
        return _missing_of_line(data)
    if len(data) < _HEAD_BYTES:
        # The shortest header of version 1 ends before.
        return (len(_UNKNOWN) if _UNKNOWN.startswith(data) else _HEAD_BYTES) - len(data)
    if data.startswith(_SIGNATURE):
        size = _HEAD_BYTES + int.from_bytes(data[14:16], "big")
        if size > MOST_BYTES:
            raise ProxyHeaderError(f"it has {size} bytes, and at most {MOST_BYTES} are allowed")
        return size - len(data)
    return _missing_of_line(data)


def _missing_of_line(data: bytes) -> int:
    """Return how many bytes to read at least until a header of version 1 ends. Raises ProxyHeaderError."""
    if data.endswith(b"\r\n"):
        return 0
    if len(data) >= _MOST_LINE_BYTES or b"\n" in data:
        raise ProxyHeaderError("its line has no valid end")
    return 1 if data.endswith(b"\r") else 2


def parse(data: bytes) -> ProxyHeader | None:
    """Return what a whole header says; None if the proxy itself is the client. Raises ProxyHeaderError."""
    return _parse_binary(data) if data.startswith(_SIGNATURE) else _parse_line(data)


def _parse_line(data: bytes) -> ProxyHeader:
    if data.removesuffix(b"\r\n") == _UNKNOWN or data.startswith(_UNKNOWN + b" "):
        return NAMELESS  # the specification requires that anything behind UNKNOWN is ignored
    found = _V1.fullmatch(data)
    if found is None:
        raise ProxyHeaderError("its line is invalid, or names no addresses")
    version, *addresses, port, local_port = [part.decode() for part in found.groups()]
    kind = ipaddress.IPv4Address if version == "4" else ipaddress.IPv6Address
    try:
        host, local_host = [_text(kind(address)) for address in addresses]
    except ValueError as error:
        raise ProxyHeaderError(f"it has an invalid address: {error}") from None
    if not (0 < int(port) < 65536 and 0 < int(local_port) < 65536):
        raise ProxyHeaderError("it has an invalid port")
    return ProxyHeader(host, int(port), local_host, int(local_port))


def _parse_binary(data: bytes) -> ProxyHeader | None:
    version, command = divmod(data[12], 16)
    if version != 2 or command not in (_LOCAL, _PROXIED):
        raise ProxyHeaderError(f"its version or command is unknown: {data[12]:#04x}")
    if command == _LOCAL:
        return None
    family, transport = divmod(data[13], 16)
    if not data[13]:  # family and transport are unspecified
        return NAMELESS
    size = _FAMILIES.get(family, 0)
    rest = _HEAD_BYTES + 2 * size + 4
    if not size or transport not in (1, 2) or len(data) < rest:
        raise ProxyHeaderError("it names no addresses")
    host, local_host = [
        _text(ipaddress.ip_address(data[start : start + size])) for start in (_HEAD_BYTES, _HEAD_BYTES + size)
    ]
    port, local_port = struct.unpack(">HH", data[rest - 4 : rest])
    fields = dict(_fields(data, rest))
    _check(data, fields.get(_CHECKSUM))
    return ProxyHeader(host, port, local_host, local_port, _tls(data, fields.get(_TLS)))


def _fields(data: bytes, start: int) -> Iterator[tuple[int, slice]]:
    """Yield the type of each further field, and where its contents are. Raises ProxyHeaderError."""
    while start < len(data):
        begin = start + 3
        end = begin + int.from_bytes(data[start + 1 : begin], "big")
        if max(begin, end) > len(data):
            raise ProxyHeaderError("its last field is cut off")
        yield data[start], slice(begin, end)
        start = end


def _check(data: bytes, place: slice | None) -> None:
    """Raise ProxyHeaderError if there is a checksum, which counts as zero itself, and it is wrong."""
    if place is None or place.stop - place.start != 4:
        return
    zeroed = data[: place.start] + bytes(4) + data[place.stop :]
    if _crc32c(zeroed) != int.from_bytes(data[place], "big"):
        raise ProxyHeaderError("its checksum is wrong")


def _crc32c(data: bytes) -> int:
    """Return the CRC-32C of a short text."""
    found = 0xFFFFFFFF
    for byte in data:
        found = _TABLE[(found ^ byte) & 0xFF] ^ found >> 8
    return found ^ 0xFFFFFFFF


def _tls(data: bytes, place: slice | None) -> tuple[str, str] | None:
    """Return the TLS version and cipher suite of the client, if it used TLS and both are there."""
    if place is None or place.stop - place.start < 5 or not data[place.start] & 1:
        return None
    end = data[: place.stop]
    fields = dict(_fields(end, place.start + 5))
    names = [data[fields[kind]] for kind in (_TLS_VERSION, _TLS_CIPHER) if kind in fields]
    if len(names) < 2 or not all(map(_TLS_NAME.fullmatch, names)):
        return None
    return names[0].decode(), names[1].decode()


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as text, an IPv4 address also if it is written as IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(address if mapped is None else mapped)
