from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.cli.perf.outstanding import Outstanding


def test_single_and_many():
    outstanding = Outstanding()
    outstanding.settle(2, multiple=False, refused=False)
    outstanding.settle(3, multiple=True, refused=False)
    assert (outstanding.settled, outstanding.refused) == (3, 0)


def test_what_is_settled_twice_counts_once():
    outstanding = Outstanding()
    for _ in range(2):
        outstanding.settle(1, multiple=False, refused=False)
        outstanding.settle(4, multiple=True, refused=True)
        outstanding.settle(6, multiple=False, refused=False)
        outstanding.settle(6, multiple=False, refused=True)
    assert (outstanding.settled, outstanding.refused) == (5, 3)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans()), max_size=40))
def test_it_counts_as_a_set_does(told):
    outstanding, times = Outstanding(timed=True), []
    outstanding.published(1, list(range(101, 131)))
    settled, refused = set(), 0
    for tag, multiple, is_refused in told:
        new = set(range(1 if multiple else tag, tag + 1)) - settled
        settled |= new
        refused += len(new) * is_refused
        times = outstanding.settle(tag, multiple, is_refused)
        assert sorted(times) == sorted(100 + one for one in new)
        assert (outstanding.settled, outstanding.refused) == (len(settled), refused)
