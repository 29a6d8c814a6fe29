from amqpbroker.amqp.output import LARGE, Output


def test_small_frames_become_one_part_and_large_ones_stay_what_they_are():
    output = Output()
    large = b"L" * LARGE
    for data in (b"one", b"two", large, b"three"):
        output.add(data)
    assert len(output) == LARGE + 11
    parts = output.take()
    assert parts == [b"onetwo", large, b"three"]
    assert parts[1] is large
    assert (len(output), output.take()) == (0, [])


def test_it_goes_on_after_it_was_taken():
    output = Output()
    for data in (b"x" * 10_000, b"short", b""):
        output.add(data)
        output.small.write(b"!")
        assert output.take() == [data + b"!"]
        assert len(output) == 0


def test_what_comes_later_is_not_in_what_was_taken_even_if_that_was_nothing():
    output = Output()
    taken = output.take()
    output.add(b"L" * LARGE)
    assert taken == []
    assert output.take() == [b"L" * LARGE]
