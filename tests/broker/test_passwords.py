import base64

import pytest

from amqpbroker.broker.passwords import NO_PASSWORD, decode_hash, encode_hash, hash_password, matches

#: Made by RabbitMQ 4.0.5 for "gu€st".
RABBITMQ = "nVD/SVE0YOiFqMtNBtUqdH7jzD+5s4nDIdxtN0lKvWeW+8sm"


def test_takes_rabbitmq_s_hashes() -> None:
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
def test_nothing_matches_where_there_is_no_password(password: bytes) -> None:
    assert not matches(password, NO_PASSWORD)


def test_an_empty_password_never_matches() -> None:
    assert not matches(b"", hash_password(""))


def test_an_empty_hash_is_no_password() -> None:
    assert decode_hash("") == NO_PASSWORD


@pytest.mark.parametrize("encoded", ["abc", "é", "not base64!"])
def test_a_hash_is_base64(encoded: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_hash(encoded)


def test_a_hash_has_a_salt_and_a_sha_256() -> None:
    with pytest.raises(ValueError, match="has 36 octets, not 20"):
        decode_hash(base64.b64encode(bytes(20)).decode())
