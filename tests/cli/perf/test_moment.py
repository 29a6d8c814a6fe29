from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.moment import Moment


def test_what_is_shown():
    latencies = Latencies()
    latencies.add([1_000_000] * 99 + [2_000_000])
    assert str(Moment(1.0, {"connections": 1234})) == "connections 1,234"
    moment = Moment(
        1.0, {}, {"published": 1234.5, "consumed": 0}, {"message": latencies, "confirm": Latencies()}, "low"
    )
    assert str(moment) == ("published 1,234/s  consumed 0/s  message latency p50 1.00 ms, p99 1.00 ms  blocked: low")
