"""Cipher suites by the names that RabbitMQ accepts: OpenSSL's, and the RFCs' (TLS_..._WITH_...).

The set of available suites depends on the OpenSSL build, so this module queries OpenSSL.
"""

import re
import ssl
from functools import cache
from typing import Any

from amqpbroker.config.accepted import Accepted, LeftOut

#: True if Python can restrict the suites of TLS 1.3.
CAN_CHOOSE_TLS_1_3 = hasattr(ssl.SSLContext, "set_ciphersuites")

_PREFIX_TLS_1_3 = "TLS_"
_EXCHANGES = {"kx-rsa", "kx-ecdhe"}
_AUTHENTICATIONS = {"auth-rsa", "auth-ecdsa"}

_UNKNOWN = "OpenSSL does not have this cipher suite"
_NOT_OFFERED = "TLS 1.3 uses the suites that OpenSSL offers by default, and this suite is not one of them"
_PARAMETERS = "it needs Diffie-Hellman parameters, which cannot be set; use a suite that begins with ECDHE"
_UNSAFE = "it does not encrypt, or does not authenticate the server"


def is_tls_1_3(suite: str) -> bool:
    """Return whether a suite, by OpenSSL's name, is one of TLS 1.3."""
    return suite.startswith(_PREFIX_TLS_1_3)


@cache
def default_tls_1_3() -> frozenset[str]:
    """Return the suites of TLS 1.3 that OpenSSL offers unless others are chosen."""
    return frozenset(name for name in map(_name, _context().get_ciphers()) if is_tls_1_3(name))


@cache
def _parsed(text: str) -> str | LeftOut:
    """Return OpenSSL's name for a suite. Raises ValueError for text that cannot be the name of a suite."""
    if not re.fullmatch("[A-Za-z0-9_-]+", text):
        raise ValueError(text)
    name = _openssl_name(text)
    if is_tls_1_3(name):
        return _tls_1_3(name)
    context = _context()
    try:
        context.set_ciphers(name)
    except ssl.SSLError:
        return LeftOut(_UNKNOWN)
    found = [each for each in context.get_ciphers() if not is_tls_1_3(_name(each))]
    if [_name(each) for each in found] != [name]:
        return LeftOut(_UNKNOWN)
    return _reason(found[0]) or name


def _tls_1_3(name: str) -> str | LeftOut:
    context: Any = _context()
    if not CAN_CHOOSE_TLS_1_3:
        return name if name in default_tls_1_3() else LeftOut(_NOT_OFFERED)
    try:
        context.set_ciphersuites(name)
    except ssl.SSLError:
        return LeftOut(_UNKNOWN)
    return name


def _reason(suite: Any) -> LeftOut | None:
    """Return the reason for not using a suite that OpenSSL has, None if the suite is used."""
    if suite["kea"] == "kx-dhe":
        return LeftOut(_PARAMETERS)
    if suite["kea"] not in _EXCHANGES or suite["auth"] not in _AUTHENTICATIONS or not suite["strength_bits"]:
        return LeftOut(_UNSAFE)
    return None


def _openssl_name(text: str) -> str:
    """Return OpenSSL's spelling, such as ECDHE-RSA-AES128-SHA for TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA."""
    match = re.fullmatch("TLS_(.+)_WITH_(.+)", text)
    if match is None:
        return text
    exchange, cipher = match[1], match[2].replace("_CBC_", "_")
    cipher = re.sub("(?<=AES|RIA|LIA)_(?=[0-9])", "", cipher)
    cipher = re.sub("CCM_8$", "CCM8", cipher).replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
    return (cipher if exchange == "RSA" else f"{exchange}_{cipher}").replace("_", "-")


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _name(suite: Any) -> str:
    name: str = suite["name"]
    return name


CIPHER = Accepted("the name of a cipher suite", _parsed)
