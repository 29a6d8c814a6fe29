"""Names of the brokers that use one database, for operators."""

from collections import Counter

from amqpbroker.broker.cluster import Member, UnknownBrokerError
from amqpbroker.cluster.leadership.members import Facts


def distinct_names(brokers: list[Facts]) -> dict[str, str]:
    """Return a name for each process: that of its node, with the address for the host if several have it."""
    names = {broker.process: broker.node for broker in brokers}
    for distinct in (_with_address, _with_process):
        used = Counter(names.values())
        names |= {broker.process: distinct(broker) for broker in brokers if used[names[broker.process]] > 1}
    return names


def _with_address(broker: Facts) -> str:
    return f"{broker.node.partition('@')[0]}@{broker.address}"


def _with_process(broker: Facts) -> str:
    return f"{_with_address(broker)}-{broker.process}"


def found(members: list[Member], name: str) -> Member:
    """Return the member with a name. Raises UnknownBrokerError."""
    for same in (
        [member for member in members if name in (member.name, member.process)],
        [member for member in members if name == member.address],
        [member for member in members if name == member.node],
    ):
        if len(same) == 1:
            return same[0]
    known = ", ".join(member.name for member in members)
    raise UnknownBrokerError(f"{name} is no broker with this database: name one of {known}")
