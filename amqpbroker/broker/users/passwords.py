"""Password hashes in RabbitMQ's format (rabbit_password.erl, rabbit_password_hashing_*.erl).

A hash is 4 octets of salt, then a digest of salt and UTF-8 password; it is base64 where it is written out.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

#: The algorithm of new hashes. The others are those of users from elsewhere.
SHA256 = "rabbit_password_hashing_sha256"
SHA512 = "rabbit_password_hashing_sha512"
MD5 = "rabbit_password_hashing_md5"

_DIGESTS = {SHA256: "sha256", SHA512: "sha512", MD5: "md5"}
_SALT_SIZE = 4

#: What nobody's password matches: for users who have none, and for names that are no user's.
NO_PASSWORD = b""

_UNMATCHED = bytes(_SALT_SIZE + hashlib.sha256().digest_size)


def hash_password(password: str) -> bytes:
    """A new hash with a salt of its own, by SHA256."""
    return _salted(secrets.token_bytes(_SALT_SIZE), password.encode(), SHA256)


def matches(password: bytes, stored: bytes, hashing: str = SHA256) -> bool:
    """Whether the password is the one that was hashed; takes the same work for NO_PASSWORD, which nothing matches.

    Nothing matches the hash of an algorithm that is none of the three.
    """
    known = hashing in _DIGESTS
    expected = stored if stored and known else _UNMATCHED
    same = hmac.compare_digest(_salted(expected[:_SALT_SIZE], password, hashing if known else SHA256), expected)
    return same and known and bool(stored) and bool(password)


def decode_hash(encoded: str) -> bytes:
    """A hash from its base64 form (password_hash in definitions and the HTTP API); "" is NO_PASSWORD.

    One of the wrong length is one that no password matches. Raises ValueError.
    """
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a password hash is written in base64") from None


def encode_hash(stored: bytes) -> str:
    return base64.b64encode(stored).decode()


def _salted(salt: bytes, password: bytes, hashing: str) -> bytes:
    # MD5 is weak, but it is what the hash was made with; such a user's next password is hashed by SHA256.
    return salt + hashlib.new(_DIGESTS[hashing], salt + password, usedforsecurity=False).digest()
