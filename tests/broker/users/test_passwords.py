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


def test_password_hash_created_by_rabbitmq_is_accepted() -> None:
    stored = decode_hash(RABBITMQ)
    assert matches("gu€st".encode(), stored)
    assert not matches(b"guest", stored)
    assert encode_hash(stored) == RABBITMQ


def test_password_matches_its_salted_hash() -> None:
    stored = hash_password("s3cret")
    assert matches(b"s3cret", stored)
    assert not matches(b"s3cre", stored)
    assert hash_password("s3cret") != stored


@pytest.mark.parametrize("password", [b"", b"x"])
def test_no_password_matches_a_user_without_password(password: bytes) -> None:
    assert not matches(password, NO_PASSWORD)


def test_an_empty_password_never_matches() -> None:
    assert not matches(b"", hash_password(""))


def test_empty_password_hash_means_no_password() -> None:
    assert decode_hash("") == NO_PASSWORD


@pytest.mark.parametrize("encoded", ["abc", "é", "not base64!"])
def test_password_hash_that_is_not_base64_is_refused(encoded: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_hash(encoded)


@pytest.mark.parametrize("size", [1, 4, 20, 37])
def test_no_password_matches_a_hash_of_the_wrong_length(size: int) -> None:
    stored = decode_hash(base64.b64encode(bytes(size)).decode())
    assert not matches(b"x", stored)


@pytest.mark.parametrize(("hashing", "digest"), [(SHA256, "sha256"), (SHA512, "sha512"), (MD5, "md5")])
def test_password_matches_only_with_the_algorithm_of_its_hash(hashing: str, digest: str) -> None:
    stored = b"salt" + hashlib.new(digest, b"salts3cret").digest()
    assert matches(b"s3cret", stored, hashing)
    assert not matches(b"s3cre", stored, hashing)
    assert not any(matches(b"s3cret", stored, other) for other in {SHA256, SHA512, MD5} - {hashing})


def test_no_password_matches_with_an_unknown_hash_algorithm() -> None:
    assert not matches(b"s3cret", hash_password("s3cret"), "nope")
