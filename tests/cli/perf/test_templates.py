from amqpbroker.cli.perf.kind import Kind
from amqpbroker.cli.perf.schedule import Step
from amqpbroker.cli.perf.template import Template
from amqpbroker.cli.perf.templates import Templates

ONE, OTHER = (Template(Kind("", "q", size, {}), 4096, 100) for size in (1, 2))


def test_the_only_one():
    some = Templates([ONE])
    assert some.at(0.0) is some.at(1e6) is ONE


def test_one_after_the_other():
    some = Templates([ONE, OTHER], [Step(1, 2.0), Step(2, 1.0)])
    assert [some.at(elapsed_s) for elapsed_s in (0.0, 1.9, 2.0, 3.0)] == [ONE, ONE, OTHER, ONE]
