from amqpbroker.store.relocations import Relocations


def at(segment, offset):
    return segment << 32 | offset


def test_a_copy_is_found_by_its_first_position_however_often_it_moves():
    relocations = Relocations()
    relocations.move(at(1, 10), at(3, 5))
    relocations.move(at(1, 20), at(3, 9))
    relocations.move(at(3, 5), at(4, 7))
    assert relocations.present(at(1, 10)) == at(4, 7)
    assert relocations.first(at(4, 7)) == at(1, 10)
    assert relocations.present(at(1, 20)) == at(3, 9)
    assert relocations.first(at(3, 9)) == at(1, 20)


def test_a_copy_that_never_moved_keeps_its_position():
    relocations = Relocations()
    relocations.move(at(1, 10), at(2, 5))
    for position in (at(1, 11), at(1, 9), at(2, 6), at(9, 10)):
        assert relocations.present(position) == relocations.first(position) == relocations.settle(position) == position


def test_settled_copies_are_removed_from_moves():
    relocations = Relocations()
    relocations.move(at(1, 10), at(2, 5))
    relocations.move(at(1, 20), at(2, 6))
    relocations.move(at(2, 6), at(3, 1))
    assert relocations.settle(at(1, 10)) == at(2, 5)
    assert relocations
    assert relocations.settle(at(1, 20)) == at(3, 1)
    assert not relocations
    assert not relocations._first.tables
