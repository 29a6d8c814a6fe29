import pytest

from amqpbroker import octets, plain_octets


@pytest.mark.parametrize("module", [octets, plain_octets])
def test_signed_integers_are_read_at_an_offset(module):
    data = b"." + bytes([255, 254, 0, 1, 0, 0, 0, 9, 7])
    assert module.read_i16_be(data, 1) == -2
    assert module.read_i32_be(data, 1) == int.from_bytes(data[1:5], "big", signed=True)
    assert module.read_i64_be(data, 1) == int.from_bytes(data[1:9], "big", signed=True)
    assert module.read_i64_be(data, 2) == int.from_bytes(data[2:10], "big", signed=True)


@pytest.mark.parametrize("module", [octets, plain_octets])
def test_bytes_writer_returns_its_whole_buffer_and_is_reusable(module):
    writer = module.BytesWriter()
    writer.write(b"ab")
    module.write_i64_be(writer, 258)
    module.write_i16_be(writer, -2)
    module.write_i32_be(writer, 258)
    writer.write(b"")
    assert len(writer) == 16
    assert writer.getvalue() == b"ab\0\0\0\0\0\0\1\2\xff\xfe\0\0\1\2"
    writer.truncate(0)
    writer.write(b"again")
    assert (len(writer), writer.getvalue()) == (5, b"again")
