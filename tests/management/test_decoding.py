import pytest

from amqpbroker.management.decoding import DecodingError, decoded


def test_json_is_decoded_within_the_levels():
    assert decoded(b'{"a":[1,"x",null]}', 2, "not_json") == {"a": [1, "x", None]}
    with pytest.raises(
        DecodingError, match=r"^nested too deeply: there may be 2 objects and lists inside one another$"
    ):
        decoded(b'{"a":[[]]}', 2, "not_json")


@pytest.mark.parametrize("raw", [b"", b"{", b"{'a':1}", b"NaN", b"\xff", b'{"a":1}{"a":999}'])
def test_other_text_has_the_error_of_the_caller(raw):
    with pytest.raises(DecodingError, match=r"^not_json$"):
        decoded(raw, 2, "not_json")


def test_integer_of_more_than_64_bits_is_a_float():
    assert decoded(b"9" * 300, 0, "not_json") == pytest.approx(1e300)


@pytest.mark.parametrize("number", [b"9" * 400, b"9" * 5000, b"-" + b"9" * 5000, b"1e309"])
def test_number_that_is_too_large_is_named_by_its_place(number):
    with pytest.raises(
        DecodingError, match=r"^the number at line 2, column 6 is too large: write one between -1.8e308 and 1.8e308$"
    ):
        decoded(b'{"b":1,\n"a": %b}' % number, 2, "not_json")
