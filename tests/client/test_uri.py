import pytest

from amqpbroker.client.uri import TlsOptions, UriError, parse, without_credentials


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqp://", (None, 5672, "/", None, None)),
        ("amqp:///v", (None, 5672, "v", None, None)),
        ("amqp:///%2Fv", (None, 5672, "/v", None, None)),
        ("amqp://ann@/v", (None, 5672, "v", "ann", None)),
        ("amqp://host", ("host", 5672, "/", "guest", "guest")),
        ("amqp://host/", ("host", 5672, "/", "guest", "guest")),
        ("amqps://host", ("host", 5671, "/", "guest", "guest")),
        ("amqp://ann:p%40ss@host:1/%2f", ("host", 1, "/", "ann", "p@ss")),
        ("amqp://[::1]:1/v", ("::1", 1, "v", "guest", "guest")),
    ],
)
def test_amqp_uri_is_parsed_into_address_and_credentials(text, expected):
    uri = parse(text)
    assert (uri.host, uri.port, uri.vhost, uri.user, uri.password) == expected


def test_parameters():
    uri = parse("amqp://h?heartbeat=7&frame_max=8192&connection_timeout=100&auth_mechanism=external&other=1")
    assert (uri.heartbeat_s, uri.frame_max, uri.connection_timeout_ms) == (7, 8192, 100)
    assert uri.mechanisms == ("EXTERNAL",)
    assert uri.tls is None


def test_tls_parameters_of_an_amqps_uri_are_parsed():
    assert parse("amqps://h").tls == TlsOptions()
    text = "amqps://h?cacertfile=/c&certfile=/f&keyfile=/k&password=p&verify=verify_none&server_name_indication=n"
    assert parse(text).tls == TlsOptions("/c", "/f", "/k", "p", False, "n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "{unable_to_parse_uri,no_scheme}"),
        ("nix", "{unable_to_parse_uri,no_scheme}"),
        ("http://x", '{unexpected_uri_scheme,"http"}'),
        ("amqp://h:99999", "{port_out_of_range,99999}"),
        ("amqp://h:0", "{port_out_of_range,0}"),
        ("amqp://h:x", "unable_to_parse_uri"),
        ("amqp://[::1", "unable_to_parse_uri"),
        ("amqp://h/a/b", '{invalid_vhost,"a/b"}'),
        ("amqp://h?heartbeat=x", '{invalid_amqp_params_parameter,heartbeat,"x"}'),
        pytest.param(
            f"amqp://h?connection_timeout={'9' * 5000}",
            f'{{invalid_amqp_params_parameter,connection_timeout,"{"9" * 5000}"}}',
            id="too many digits",
        ),
        ("amqp://h?auth_mechanism=x", '{invalid_amqp_params_parameter,auth_mechanism,"x"}'),
        ("amqps://h?verify=maybe", '{invalid_amqp_params_parameter,verify,"maybe"}'),
    ],
)
def test_invalid_amqp_uri_is_an_error_with_a_reason(text, reason):
    with pytest.raises(UriError) as error:
        parse(text)
    assert str(error.value) == reason


@pytest.mark.parametrize(
    "text",
    [
        "amqp://ann:s3cret@host/v",
        "amqp://ann:s3@cret@host/v",
        "amqp://ann:s3/cret@host/v",
        "amqp://ann:s3?cret@host/v",
        "amqp://host/s3cret@host/v",
        "amqps://ann:s3cret@host/v?password=s3cret&verify=verify_none",
        "amqps://host/v?verify=verify_none&password=s3cret",
        "http://:s3cret@",
    ],
)
def test_secrets_are_not_shown(text):
    shown = without_credentials(text)
    assert "cret" not in shown
    assert "ann" not in shown
    told = ""
    try:
        uri = parse(text)
        told = f"{uri!r} {uri.shown}"
    except UriError as error:
        told = str(error)
    assert "cret" not in told


def test_shown_uri_has_no_credentials_and_parameters():
    assert parse("amqp://ann:p@host:1/%2f?heartbeat=5").shown == "amqp://host:1/%2f"
    assert parse("amqp:///%2f").shown == "amqp:///%2f"
    assert parse("amqp://").shown == "amqp://"
