import pytest

from amqpbroker.broker.counters.totals import AuthAttempts
from amqpbroker.broker.users.auth_backend import AuthBackend
from amqpbroker.broker.users.login_guard import FREE_GUESSES
from amqpbroker.broker.users.logins import AMQP, HTTP, Logins
from amqpbroker.broker.users.permissions import Grant
from amqpbroker.broker.users.users import BROKER, User, Users
from amqpbroker.clock import ManualClock

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.1"


@pytest.fixture
def users():
    users = Users()
    users.add_user("ann", "s3cret")
    users.add_user("guest", "guest")
    users.add_user("CN=client")
    return users


@pytest.fixture
def logins(users):
    return Logins(users, ManualClock(), AuthAttempts())


def by_password(logins, *login):
    answers = []
    logins.identify(*login, answers.append)
    return answers[0]


def by_certificate(logins, *login):
    answers = []
    logins.identify_certified(*login, answers.append)
    return answers[0]


def test_user_logs_in_with_a_password(logins, users):
    assert by_password(logins, "ann", b"s3cret", ELSEWHERE, AMQP) == users.user("ann")


@pytest.mark.parametrize(
    ("name", "password", "host"),
    [
        ("ann", b"wrong", HERE),
        ("nobody", b"s3cret", HERE),
        ("", b"", HERE),
        ("CN=client", b"", HERE),
        ("guest", b"guest", ELSEWHERE),
    ],
)
def test_wrong_password_user_or_address_is_refused_at_login(logins, name, password, host):
    assert by_password(logins, name, password, host, AMQP) is None


def test_user_logs_in_with_a_certificate(logins, users):
    assert by_certificate(logins, "CN=client", ELSEWHERE, AMQP) == users.user("CN=client")


@pytest.mark.parametrize(("name", "host"), [("", HERE), ("nobody", HERE), ("guest", ELSEWHERE)])
def test_certificate_of_an_unknown_or_restricted_user_is_refused_at_login(logins, name, host):
    assert by_certificate(logins, name, host, AMQP) is None


def test_right_password_is_refused_after_too_many_wrong_guesses(logins):
    for number in range(FREE_GUESSES):
        by_password(logins, "ann", b"%d" % number, ELSEWHERE, AMQP)
    assert by_password(logins, "ann", b"s3cret", ELSEWHERE, HTTP) is None
    assert by_password(logins, "ann", b"s3cret", HERE, AMQP)


def test_correct_password_from_a_forbidden_address_counts_as_a_guess(logins):
    for number in range(FREE_GUESSES - 1):
        by_password(logins, "guest", b"%d" % number, ELSEWHERE, AMQP)
    by_password(logins, "guest", b"guest", ELSEWHERE, AMQP)
    logins._users.loopback_users = frozenset()
    assert by_password(logins, "guest", b"other", ELSEWHERE, AMQP) is None
    assert len(logins._guard._records) == 1


def test_guesses_for_unknown_user_names_take_no_memory(logins):
    for number in range(1000):
        by_password(logins, f"nobody {number}", b"x", ELSEWHERE, AMQP)
    assert len(logins._guard._records) == 0


def test_login_attempts_are_counted_by_protocol(logins):
    by_password(logins, "ann", b"s3cret", HERE, AMQP)
    by_password(logins, "ann", b"wrong", HERE, AMQP)
    by_certificate(logins, "CN=client", HERE, AMQP)
    by_certificate(logins, "", HERE, AMQP)
    by_password(logins, "ann", b"s3cret", HERE, HTTP)
    assert logins._attempts.succeeded == {AMQP: 2, HTTP: 1}
    assert logins._attempts.failed == {AMQP: 2}


class Silent(AuthBackend):
    """Records its callbacks, and answers none of them."""

    def __init__(self):
        self.waiting = []

    def identify(self, name, password, answer):
        self.waiting.append((name, password, answer))

    def identify_certified(self, name, answer):
        self.waiting.append((name, answer))

    def permit(self, user, vhost, answer):
        self.waiting.append((user, vhost, answer))


def test_internal_backend_answers_identity_and_permissions_at_once(logins, users):
    answers = []
    users.set_permissions("ann", "/", "", "", ".*")
    logins.identify("ann", b"s3cret", ELSEWHERE, AMQP, answers.append)
    logins.identify("ann", b"wrong", ELSEWHERE, AMQP, answers.append)
    logins.permit(users.user("ann"), False, "/", answers.append)
    logins.permit(users.user("ann"), False, "other", answers.append)
    assert answers == [users.user("ann"), None, users.permissions(users.user("ann"), "/"), None]


def test_asynchronous_auth_backend_is_awaited_before_a_login_counts():
    attempts, backend, answers = AuthAttempts(), Silent(), []
    logins = Logins(Users(), ManualClock(), attempts)
    logins.use(backend)
    logins.identify("bob", b"secret", ELSEWHERE, AMQP, answers.append)
    assert (answers, attempts.succeeded) == ([], {})
    ((name, password, answer),) = backend.waiting
    assert (name, password) == ("bob", b"secret")
    bob = User("bob")
    answer(bob)
    assert (answers, attempts.succeeded) == ([bob], {AMQP: 1})


def test_loopback_users_are_restricted_with_other_backends_too():
    backend, answers = Silent(), []
    logins = Logins(Users(), ManualClock(), AuthAttempts())
    logins.use(backend)
    logins.identify("guest", b"guest", ELSEWHERE, AMQP, answers.append)
    backend.waiting[0][2](User("guest"))
    assert answers == [None]


def test_internal_connections_are_authorized_without_the_other_backend():
    backend, answers = Silent(), []
    logins = Logins(Users(), ManualClock(), AuthAttempts())
    logins.use(backend)
    logins.permit(BROKER, True, "/", answers.append)
    assert backend.waiting == []
    assert answers[0].grants == Grant(".*", ".*", ".*")


def test_certificate_login_is_decided_by_the_configured_auth_backend():
    attempts, backend, answers = AuthAttempts(), Silent(), []
    logins = Logins(Users(), ManualClock(), attempts)
    logins.use(backend)
    logins.identify_certified("CN=client", ELSEWHERE, AMQP, answers.append)
    logins.identify_certified("", ELSEWHERE, AMQP, answers.append)
    assert (answers, attempts.failed) == ([None], {AMQP: 1})
    ((name, answer),) = backend.waiting
    client = User(name)
    answer(client)
    assert (answers, attempts.succeeded) == ([None, client], {AMQP: 1})


def test_login_is_valid_while_user_and_password_are_unchanged(logins, users):
    ann = users.user("ann")
    users.set_tags("ann", ["monitoring"])
    assert logins.current(ann) == users.user("ann") != ann
    users.change_password("ann", "other")
    assert logins.current(ann) is None
    ann = users.user("ann")
    users.delete_user("ann")
    assert logins.current(ann) is None


def test_login_is_valid_while_its_auth_backend_confirms_it(logins):
    bob = User("bob")
    logins.use(Silent())
    assert logins.current(bob) is bob
    assert not logins.answers_at_once
