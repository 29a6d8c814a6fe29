"""Password hashes as RabbitMQ's rabbit_password_hashing_sha256 keeps them: 4 octets of salt, then SHA-256 of salt and
UTF-8 password, all of it base64 where it is written out."""

import base64
import binascii
import hashlib
import hmac
import secrets

_SALT_SIZE = 4
_SIZE = _SALT_SIZE + hashlib.sha256().digest_size

#: What nobody's password matches: for users who have none, and for names that are no user's.
NO_PASSWORD = b""

_UNMATCHED = bytes(_SIZE)


def hash_password(password: str) -> bytes:
    """A new hash with a salt of its own."""
    return _salted(secrets.token_bytes(_SALT_SIZE), password.encode())


def matches(password: bytes, stored: bytes) -> bool:
    """Whether the password is the one that was hashed; takes the same work for NO_PASSWORD, which nothing matches."""
    expected = stored or _UNMATCHED
    same = hmac.compare_digest(_salted(expected[:_SALT_SIZE], password), expected)
    return same and bool(stored) and bool(password)


def decode_hash(encoded: str) -> bytes:
    """A hash from its base64 form (password_hash in definitions and the HTTP API); "" is NO_PASSWORD.

    Raises ValueError.
    """
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a password hash is written in base64") from None
    if decoded and len(decoded) != _SIZE:
        raise ValueError(f"a password hash (rabbit_password_hashing_sha256) has {_SIZE} octets, not {len(decoded)}")
    return decoded


def encode_hash(stored: bytes) -> str:
    return base64.b64encode(stored).decode()


def _salted(salt: bytes, password: bytes) -> bytes:
    return salt + hashlib.sha256(salt + password).digest()
