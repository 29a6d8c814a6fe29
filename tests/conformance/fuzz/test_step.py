"""Scripts as lines of a case."""

from conformance.fuzz.step import HTTP, Step, listing


def test_step_is_shown_as_the_code_of_a_conformance_case():
    step = Step("c1/2", "queue", {"name": "f7.q1", "arguments": {"x-dead-letter-exchange": "f7.x2"}})
    assert step.shown() == 'c1_2.queue(name=lab.q("q1"), arguments={\'x-dead-letter-exchange\': lab.x("x2")})'


def test_long_body_of_a_step_is_shown_abbreviated():
    step = Step("c1/2", "publish", {"exchange": "", "key": "k", "body": "m1" + 300 * "."})
    assert step.shown() == "c1_2.publish(exchange='', key='k', body='m1' + 300 * '.')"


def test_repetition_and_pause_are_shown():
    step = Step("c1/1", "publish", {"exchange": "", "key": "k", "body": "b"}, times=3, pause_ms=150)
    assert step.shown().startswith("for _ in range(3): c1_1.publish(")
    assert step.shown().endswith("; lab.sleep(0.15)")


def test_listing_opens_connections_and_channels_before_its_steps():
    script = (Step("c2/1", "confirm"), Step("c1", "drop_connection"), Step("c2/1", "close"))
    assert listing(script).splitlines() == [
        "c2 = lab.connect()",
        "c1 = lab.connect()",
        "c2_1 = lab.channel(c2, 1)",
        "c2_1.confirm()",
        "c1.drop()",
        "c2_1.close()",
    ]


def test_listing_shows_http_requests_and_user_and_vhost_logins():
    body = {"password": "p", "tags": ""}
    script = (
        Step(HTTP, "request", {"method": "PUT", "path": "users/f7.u", "body": body}),
        Step("f7.u/1", "confirm"),
        Step("f7.v/1", "close"),
    )
    assert listing(script).splitlines() == [
        "u = lab.connect(user='f7.u', password='p')",
        "v = lab.connect(vhost='f7.v')",
        "u_1 = lab.channel(u, 1)",
        "v_1 = lab.channel(v, 1)",
        "lab.management.answer('PUT', 'users/f7.u', {'password': 'p', 'tags': ''})",
        "u_1.confirm()",
        "v_1.close()",
    ]
