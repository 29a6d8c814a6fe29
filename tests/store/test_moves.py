from amqpbroker.store.moves import Moves


def at(segment, offset):
    return segment << 32 | offset


def test_a_copy_is_found_by_its_first_position_however_often_it_moves():
    moves = Moves()
    moves.move(at(1, 10), at(3, 5))
    moves.move(at(1, 20), at(3, 9))
    moves.move(at(3, 5), at(4, 7))
    assert moves.present(at(1, 10)) == at(4, 7)
    assert moves.first(at(4, 7)) == at(1, 10)
    assert moves.present(at(1, 20)) == at(3, 9)
    assert moves.first(at(3, 9)) == at(1, 20)


def test_a_copy_that_never_moved_keeps_its_position():
    moves = Moves()
    moves.move(at(1, 10), at(2, 5))
    for position in (at(1, 11), at(1, 9), at(2, 6), at(9, 10)):
        assert moves.present(position) == moves.first(position) == moves.settle(position) == position


def test_settled_copies_are_removed_from_moves():
    moves = Moves()
    moves.move(at(1, 10), at(2, 5))
    moves.move(at(1, 20), at(2, 6))
    moves.move(at(2, 6), at(3, 1))
    assert moves.settle(at(1, 10)) == at(2, 5)
    assert moves
    assert moves.settle(at(1, 20)) == at(3, 1)
    assert not moves
    assert not moves._first.tables
