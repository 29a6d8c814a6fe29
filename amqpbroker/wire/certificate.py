"""Subject names of X.509 certificates, in RabbitMQ's format (RFC 5280, section 4.1).

Certificates must have been verified before: this module parses their DER form but verifies nothing.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import final

from amqpbroker.wire.values import MalformedError

#: OID -> RabbitMQ's name for it in a distinguished name (rabbit_cert_info.erl); other OIDs are shown as numbers.
_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "TITLE",
    "2.5.4.42": "GIVENNAME",
    "2.5.4.43": "INITIALS",
    "2.5.4.44": "GENERATIONQUALIFIER",
    "2.5.4.65": "PSEUDONYM",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "EMAILADDRESS",
}

_ALTERNATIVE_NAMES = "2.5.29.17"

# Tags of DER.
_OID, _UTC_TIME = 0x06, 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3

#: Tags of strings in encodings other than UTF-8 and its subset ASCII.
_ENCODINGS = {0x14: "latin-1", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}

#: Tags of alternative names (section 4.2.1.6) -> their names in ssl_cert_login_san_type.
_KINDS = {0xA0: "other_name", 0x81: "email", 0x82: "dns", 0x86: "uri", 0x87: "ip"}

_ESCAPED = ',+"\\<>;'

#: (tag, contents): one DER value.
_Item = tuple[int, bytes]


@final
@dataclass(frozen=True, slots=True)
class Certificate:
    """Distinguished names such as `CN=client,O=x`; validity as `2024-01-01T00:00:00Z - 2044-01-01T00:00:00Z`.

    common_names: in the order of the certificate. alternative_names: (kind, text), kind as in ssl_cert_login_san_type.
    """

    subject: str
    issuer: str
    validity: str
    common_names: tuple[str, ...]
    alternative_names: tuple[tuple[str, str], ...]

    @property
    def expires_ms(self) -> int:
        """Return the end of the validity in milliseconds since the Unix epoch."""
        return int(datetime.fromisoformat(self.validity.rpartition(" ")[2]).timestamp()) * 1000


def decode_certificate(der: bytes) -> Certificate:
    """Decode a certificate. Raises MalformedError for an invalid one."""
    try:
        return _decode(der)
    except (ValueError, IndexError, StopIteration) as error:
        raise MalformedError("no X.509 certificate") from error


def _decode(der: bytes) -> Certificate:
    _, certificate = next(_items(der))
    _, signed = next(_items(certificate))
    parts = list(_items(signed))
    if parts[0][0] == _VERSION:
        del parts[0]
    _, _, (_, issuer), (_, validity), (_, subject), _, *optional = parts
    subject_parts = list(_name_parts(subject))
    extensions = next((value for tag, value in optional if tag == _EXTENSIONS), b"")
    return Certificate(
        subject=_shown(subject_parts),
        issuer=_shown(list(_name_parts(issuer))),
        validity=" - ".join(_time(tag, value) for tag, value in _items(validity)),
        common_names=tuple([value for part in subject_parts for name, value in part if name == "CN"]),
        alternative_names=tuple(_alternative_names(extensions)),
    )


def _items(data: bytes) -> Iterator[_Item]:
    """Yield the values in a sequence. Raises ValueError, IndexError."""
    pos = 0
    while pos < len(data):
        tag, size = data[pos], data[pos + 1]
        pos += 2
        if size & 0x80:
            octets = size & 0x7F
            size = int.from_bytes(data[pos : pos + octets], "big")
            pos += octets
        end = pos + size
        if end > len(data):
            raise ValueError("cut short")
        yield tag, data[pos:end]
        pos = end


def _name_parts(name: bytes) -> Iterator[list[tuple[str, str]]]:
    """Yield the parts of a distinguished name in the order of the certificate; most have one (name, value) each."""
    for _, part in _items(name):
        pairs = []
        for _, pair in _items(part):
            (_, oid), (tag, value) = _items(pair)
            number = _oid(oid)
            pairs.append((_NAMES.get(number, number), _text(tag, value)))
        yield pairs


def _shown(parts: list[list[tuple[str, str]]]) -> str:
    """Return a distinguished name in RabbitMQ's format: the last part comes first, as in RFC 4514."""
    return ",".join("+".join(f"{name}={_escaped(value)}" for name, value in part) for part in reversed(parts))


def _escaped(value: str) -> str:
    """Escape a value. Octets beyond ASCII become hexadecimal, as in RabbitMQ."""
    shown = ""
    for index, char in enumerate(value):
        outer = index in (0, len(value) - 1)
        if char in _ESCAPED or (char == " " and outer) or (char == "#" and index == 0):
            shown += "\\" + char
        elif char.isascii() and char.isprintable():
            shown += char
        else:
            shown += "".join(f"\\{octet:02X}" for octet in char.encode("utf-8", "surrogatepass"))
    return shown


def _text(tag: int, value: bytes) -> str:
    return value.decode(_ENCODINGS.get(tag, "utf-8"))


def _oid(value: bytes) -> str:
    """Decode an object identifier (X.690, section 8.19)."""
    numbers = [0]
    for octet in value:
        numbers[-1] = numbers[-1] << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(str(number) for number in (first, numbers[0] - 40 * first, *numbers[1:-1]))


def _time(tag: int, value: bytes) -> str:
    digits = value.decode("ascii").removesuffix("Z")
    if tag == _UTC_TIME:
        digits = ("20" if digits < "50" else "19") + digits
    if len(digits) != 14 or not digits.isdecimal():
        raise ValueError(digits)
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:12]}:{digits[12:]}Z"


def _alternative_names(extensions: bytes) -> Iterator[tuple[str, str]]:
    for _, several in _items(extensions):
        for _, extension in _items(several):
            (_, oid), *_, (_, value) = _items(extension)
            if _oid(oid) == _ALTERNATIVE_NAMES:
                _, names = next(_items(value))
                for tag, name in _items(names):
                    if tag in _KINDS:
                        yield _KINDS[tag], _alternative_name(tag, name)


def _alternative_name(tag: int, name: bytes) -> str:
    match _KINDS[tag]:
        case "ip":
            return str(ipaddress.ip_address(name))
        case "other_name":
            _, (_, explicit) = _items(name)
            return _text(*next(_items(explicit)))
        case _:
            return name.decode("ascii")
