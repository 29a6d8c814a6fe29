from amqpbroker.server.resting import GIVE_WAY_S, Resting


class Stand:
    def __init__(self, name: str, gone: list[str]) -> None:
        self.name = name
        self.gone = gone

    def close_idle(self) -> None:
        self.gone.append(self.name)


def test_connection_that_has_waited_longest_gives_way_after_a_second() -> None:
    resting, gone = Resting(), []
    first, second, third = [Stand(name, gone) for name in ("first", "second", "third")]
    for connection in first, second, third:
        resting.rest(connection, 10.0)
    resting.work(first)
    resting.rest(second, 20.0)  # it waits already
    resting.rest(first, 10.5)
    assert not resting.free(10 + GIVE_WAY_S / 2)
    assert [resting.free(10 + GIVE_WAY_S) for _ in range(3)] == [True, True, False]
    assert gone == ["second", "third"]
    assert resting.free(10.5 + GIVE_WAY_S)
    assert gone[-1] == "first"
    assert len(resting) == 0
    assert not resting.free(100.0)
