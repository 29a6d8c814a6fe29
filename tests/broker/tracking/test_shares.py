import pytest

from amqpbroker.broker.tracking.shares import ForeseenShares, Shares


def shares(*things: str, most: int = 4, share: float = 0.5) -> Shares:
    """Return shares with things whose names begin with a letter for their owner."""
    found = Shares("things", "/", most, share)
    for each in things:
        found.add(each.encode(), each[0])
    return found


@pytest.mark.parametrize(("most", "share", "user_most"), [(4, 0.5, 2), (4, 1, 4), (1, 0.5, 1), (4, 0, 1), (5, 0.3, 2)])
def test_share_is_at_least_one_and_at_most_all(most: int, share: float, user_most: int) -> None:
    assert shares(most=most, share=share).user_most == user_most


def test_user_with_its_share_is_full_and_others_are_not() -> None:
    found = shares("a1", "a2")
    assert (found.is_full("a"), found.is_full("b")) == (True, False)
    text = "user 'a' has reached the limit of 2 things in vhost '/'; delete some, or publish again later"
    assert str(found.refusal("a", found.has_share("a"))) == f"PRECONDITION_FAILED - {text}"


def test_all_users_together_are_full() -> None:
    found = shares("a1", "a2", "b1", "c1")
    assert found.is_full("d")
    assert "vhost '/' has reached the limit of 4 things" in str(found.refusal("d", found.has_share("d")))


def test_own_things_make_space_for_a_user_with_its_share() -> None:
    found = shares("a1", "a2", "b1")
    found.release(b"b1")
    assert found.is_full("a")
    found.release(b"a2")
    assert found.next_released("a") == b"a2"


def test_thing_that_ended_first_makes_space_for_anybody_once_there_is_none() -> None:
    found = shares("a1", "a2", "b1", "b2", most=4)
    found.release(b"b2")
    found.release(b"a1")
    assert found.next_released("c") == b"b2"
    found.remove(b"b2")
    assert found.has_space("c")
    assert found.next_released("a") == b"a1"


def test_things_that_are_released_for_later_go_after_all_others() -> None:
    found = shares("a1", "a2")
    found.release(b"a1", later=True)
    found.release(b"a2")
    assert list(found.released()) == [b"a2", b"a1"]
    assert found.ended_count == 1
    found.release(b"a1")
    assert list(found.released("a")) == [b"a2", b"a1"]
    found.hold(b"a2")
    assert list(found.released()) == [b"a1"]


def test_removed_things_do_not_count() -> None:
    found = shares("a1", "a2")
    found.release(b"a1")
    found.remove(b"a1")
    found.remove(b"a1")
    assert (found.total, found.count("a"), list(found.released()), list(found.released("a"))) == (1, 1, [], [])
    found.clear()
    assert (found.total, found.count("a")) == (0, 0)


def test_foreseen_things_count_as_those_before_them() -> None:
    found = shares("a1", "b1", "b2")
    found.release(b"b1")
    foreseen = ForeseenShares(found, "a")
    assert foreseen.add(set())
    # The user has its share now, and none of its things has ended.
    assert not foreseen.add(set())
    assert "user 'a'" in str(foreseen.refusal())
    assert foreseen.removed == set()
    assert found.count("a") == 1


def test_foreseen_things_take_the_space_of_those_that_ended_first() -> None:
    found = shares("a1", "a2", "b1", "b2", most=4, share=0.75)
    found.release(b"b2")
    found.release(b"a1")
    found.release(b"a2")
    foreseen = ForeseenShares(found, "a")
    assert [foreseen.add(set()) for _ in range(3)] == [True, True, True]
    assert foreseen.removed == {b"b2", b"a1", b"a2"}
    assert not foreseen.add(set())


def test_held_things_make_no_space_and_released_ones_do() -> None:
    found = shares("a1", "a2")
    found.release(b"a1")
    foreseen = ForeseenShares(found, "a")
    assert not foreseen.add({b"a1"})
    foreseen = ForeseenShares(found, "a")
    assert foreseen.add(set())
    foreseen.release()
    assert foreseen.add(set())
    assert not foreseen.add(set())
