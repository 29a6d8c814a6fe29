from conformance.purpose import is_on_purpose, patterns


def test_cases_are_read_from_the_last_column_of_tables_only():
    page = "Text `acks/not_this`.\n| What | `acks/nor_this` | `ttl/this`, `frames/table_*` |\n"
    assert patterns(page) == ["ttl/this", "frames/table_*"]


def test_case_may_differ_only_if_the_compatibility_page_lists_it():
    assert is_on_purpose("headers/header_twice")
    assert not is_on_purpose("acks/no_such_difference")
