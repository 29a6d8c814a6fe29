import random

from amqpbroker.message.pieces import Pieces


def test_pieces_are_joined_in_order_however_the_bytes_are_cut():
    choose = random.Random(3)
    data = choose.randbytes(60_000)
    for _ in range(50):
        pieces = [Pieces(), Pieces()]
        at = 0
        while at < len(data):
            size = choose.choice([0, 1, 7, 4095, 4096, 9000])
            pieces[at > 30_000].add(data[at : at + size])
            at += size
        pieces[0].add_all(pieces[1])
        assert pieces[0].join() == data


def test_single_large_piece_is_not_copied_when_joined():
    pieces = Pieces()
    piece = b"x" * 5000
    pieces.add(piece)
    pieces.add(b"")
    assert pieces.join() is piece


def test_joining_no_pieces_gives_empty_bytes():
    assert Pieces().join() == b""


def test_size_is_the_sum_of_all_pieces():
    pieces, more = Pieces(), Pieces()
    for each, sizes in ((pieces, (5000, 3, 4096)), (more, (7, 9000))):
        for size in sizes:
            each.add(b"x" * size)
    more.add_view(memoryview(b"y" * 6000)[1000:])
    assert (pieces.size, more.size) == (9099, 14_007)
    pieces.add_all(more)
    assert pieces.size == sum(map(len, pieces.parts)) == len(pieces.join()) == 23_106
