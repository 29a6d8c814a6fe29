"""Permissions as the API and definitions write them."""

from typing import Any

from amqpbroker.broker.users.permissions import Grant, TopicGrant


def shown_permission(listed: tuple[str, str, Grant]) -> dict[str, Any]:
    user, vhost, grant = listed
    return {"user": user, "vhost": vhost, **grant._asdict()}


def shown_topic_permission(listed: tuple[str, str, str, TopicGrant]) -> dict[str, Any]:
    user, vhost, exchange, grant = listed
    return {"user": user, "vhost": vhost, "exchange": exchange, **grant._asdict()}
