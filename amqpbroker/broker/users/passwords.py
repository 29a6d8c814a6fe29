"""Password hashes in RabbitMQ's format (rabbit_password.erl, rabbit_password_hashing_*.erl).

A hash is 4 bytes of salt, then a digest of salt and UTF-8 password. Its text form is base64.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

#: The algorithm of new hashes. Users that were created elsewhere may have others.
SHA256 = "rabbit_password_hashing_sha256"
SHA512 = "rabbit_password_hashing_sha512"
MD5 = "rabbit_password_hashing_md5"

_DIGESTS = {SHA256: "sha256", SHA512: "sha512", MD5: "md5"}
_SALT_SIZE = 4

#: A hash that no password matches: for users without a password, and for unknown names.
NO_PASSWORD = b""

_UNMATCHED = bytes(_SALT_SIZE + hashlib.sha256().digest_size)


def hash_password(password: str) -> bytes:
    """Return a new hash with a salt of its own, by SHA256."""
    return _salted(secrets.token_bytes(_SALT_SIZE), password.encode(), SHA256)


def matches(password: bytes, stored: bytes, hashing: str = SHA256) -> bool:
    """Return whether the password is the one that was hashed.

    NO_PASSWORD takes the same work, and nothing matches it. Nothing matches a hash of an unknown algorithm.
    """
    known = hashing in _DIGESTS
    expected = stored if stored and known else _UNMATCHED
    same = hmac.compare_digest(_salted(expected[:_SALT_SIZE], password, hashing if known else SHA256), expected)
    return same and known and bool(stored) and bool(password)


def decode_hash(encoded: str) -> bytes:
    """Decode a hash in base64 (password_hash in definitions and the HTTP API); "" is NO_PASSWORD.

    No password matches a hash of the wrong length. Raises ValueError.
    """
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the password hash is not valid base64") from None


def encode_hash(stored: bytes) -> str:
    return base64.b64encode(stored).decode()


def _salted(salt: bytes, password: bytes, hashing: str) -> bytes:
    # MD5 is weak, but it is the algorithm of this hash. The user's next password is hashed by SHA256.
    return salt + hashlib.new(_DIGESTS[hashing], salt + password, usedforsecurity=False).digest()
