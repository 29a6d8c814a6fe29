from amqpbroker.broker.users.users import User
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.management.sessions import Sessions


def test_session_limit_of_one_user_ends_only_its_own_sessions():
    kept = Sessions(ManualClock(0), 1000)
    other = kept.open(User("other"))
    own = [kept.open(User("busy")) for _ in range(BOUNDS.user_sessions + 1)]
    assert kept.find(other) == User("other")
    assert kept.find(own[0]) is None
    assert all(kept.find(token) for token in own[1:])


def test_number_of_all_sessions_is_limited():
    kept = Sessions(ManualClock(0), 1000, Bounds(sessions=3))
    tokens = [kept.open(User(f"user{number}")) for number in range(4)]
    assert [kept.find(token) is not None for token in tokens] == [False, True, True, True]
