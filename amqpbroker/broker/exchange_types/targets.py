"""The targets of several bindings, each once, in the order in which they came."""

from amqpbroker.broker.exchange import Target

#: Target -> how many bindings lead to it.
Targets = dict[Target, int]


def add(targets: Targets, target: Target) -> None:
    targets[target] = targets.get(target, 0) + 1


def remove(targets: Targets, target: Target) -> None:
    """Take one binding's target away. Raises KeyError if it is not there."""
    count = targets[target] - 1
    if count:
        targets[target] = count
    else:
        del targets[target]
