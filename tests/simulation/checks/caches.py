"""Caches of routes in channels."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.parts import channels

if TYPE_CHECKING:
    from amqpbroker.broker.vhost import Vhost
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each channel that caches too many routes, and each vhost that counts them wrongly."""
    bounds = process.broker.config.bounds
    few = 0
    remembered: dict[Vhost, int] = dict.fromkeys(process.broker.vhosts.values(), 0)
    for channel in channels(process):
        routes = channel.publishing.routes
        if len(routes.known) > max(bounds.routes, bounds.few_routes):
            yield f"{channel.name} remembers {len(routes.known)} routes"
        if routes.vhost in remembered:
            remembered[routes.vhost] += len(routes.known)
            few += bounds.few_routes
    for vhost, count in remembered.items():
        if vhost.remembered != count:
            yield f"channels of {vhost.name} remember {count} routes, counted as {vhost.remembered}"
        if count > bounds.all_routes + few:
            yield f"channels of {vhost.name} remember {count} routes together"
