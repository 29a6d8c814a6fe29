from amqpbroker.management.formats.shared import iso


def test_a_time_is_written_in_utc_with_milliseconds():
    assert iso(1_764_031_409_298) == "2025-11-25T00:43:29.298+00:00"
    assert iso(0) == "1970-01-01T00:00:00.000+00:00"
