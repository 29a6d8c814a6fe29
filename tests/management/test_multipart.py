import pytest

from amqpbroker.management.bodies import form_field

FORM = "multipart/form-data; boundary=xyz"


def body(*parts):
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + b"--xyz--\r\n"


def part(name, content, more=b""):
    return b'Content-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + content


def test_multipart_form_field_is_found_by_its_name():
    form = body(part(b"a", b"1"), part(b"file", b'{"x":\r\n 1}', b'; filename="name.json"\r\nContent-Type: text/plain'))
    assert form_field(form, FORM, "file") == b'{"x":\r\n 1}'
    assert form_field(form, 'multipart/form-data; boundary="xyz"', "a") == b"1"


@pytest.mark.parametrize("content_type", [FORM, "multipart/form-data", "multipart/form-data; boundary=other"])
def test_unknown_name_is_an_error(content_type):
    with pytest.raises(ValueError, match="no field file"):
        form_field(body(part(b"other", b"1", b'; filename="file"')), content_type, "file")
