import base64
import hashlib

import pytest

from amqpbroker.broker.users.passwords import (
    MD5,
    NO_PASSWORD,
    SHA256,
    SHA512,
    decode_hash,
    encode_hash,
    hash_password,
    matches,
)

#: Made by RabbitMQ 4.0.5 for "gu€st".
RABBITMQ = "nVD/SVE0YOiFqMtNBtUqdH7jzD+5s4nDIdxtN0lKvWeW+8sm"


def test_hashes_of_rabbitmq_are_accepted() -> None:
    stored = decode_hash(RABBITMQ)
    assert matches("gu€st".encode(), stored)
    assert not matches(b"guest", stored)
    assert encode_hash(stored) == RABBITMQ


def test_its_own_hashes_match_and_are_salted() -> None:
    stored = hash_password("s3cret")
    assert matches(b"s3cret", stored)
    assert not matches(b"s3cre", stored)
    assert hash_password("s3cret") != stored


@pytest.mark.parametrize("password", [b"", b"x"])
def test_nothing_matches_no_password(password: bytes) -> None:
    assert not matches(password, NO_PASSWORD)


def test_an_empty_password_never_matches() -> None:
    assert not matches(b"", hash_password(""))


def test_an_empty_hash_is_no_password() -> None:
    assert decode_hash("") == NO_PASSWORD


@pytest.mark.parametrize("encoded", ["abc", "é", "not base64!"])
def test_a_hash_is_base64(encoded: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_hash(encoded)


@pytest.mark.parametrize("octets", [1, 4, 20, 37])
def test_nothing_matches_a_hash_of_the_wrong_length(octets: int) -> None:
    stored = decode_hash(base64.b64encode(bytes(octets)).decode())
    assert not matches(b"x", stored)


@pytest.mark.parametrize(("hashing", "digest"), [(SHA256, "sha256"), (SHA512, "sha512"), (MD5, "md5")])
def test_hashes_of_known_algorithms_only(hashing: str, digest: str) -> None:
    stored = b"salt" + hashlib.new(digest, b"salts3cret").digest()
    assert matches(b"s3cret", stored, hashing)
    assert not matches(b"s3cre", stored, hashing)
    assert not any(matches(b"s3cret", stored, other) for other in {SHA256, SHA512, MD5} - {hashing})


def test_nothing_matches_with_an_unknown_algorithm() -> None:
    assert not matches(b"s3cret", hash_password("s3cret"), "nope")
