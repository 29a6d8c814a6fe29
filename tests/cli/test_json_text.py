import json
import re

import pytest

from amqpbroker.cli.json_text import decoded


def test_json_text_is_decoded():
    assert decoded('{"a": [1, -2.5, null, "x"]}') == {"a": [1, -2.5, None, "x"]}
    assert decoded("-" + "9" * 309) == 1 - 10**309


def test_text_that_is_not_json_is_an_error_with_its_place():
    with pytest.raises(json.JSONDecodeError, match="line 2 column 1"):
        decoded("{\nbad}")


@pytest.mark.parametrize(
    ("number", "shown"),
    [("9" * 310, "9999999999..."), ("-" + "9" * 5000, "-999999999..."), ("1e309", "1e309"), ("-1e309", "-1e309")],
)
def test_number_that_is_too_large_is_an_error_that_names_it(number, shown):
    with pytest.raises(ValueError, match=f"^the number {re.escape(shown)} is too large: write one between"):
        decoded('{"a": ' + number + "}")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_python_specific_number_is_an_error(word):
    with pytest.raises(ValueError, match=f"^{word} is not a number$"):
        decoded(word)
