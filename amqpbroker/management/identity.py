"""The user who asks, and what the tags of a user let it see (rabbit_mgmt_util.erl)."""

from typing import TYPE_CHECKING, final

from amqpbroker.broker.users.permissions import Grant, Permissions
from amqpbroker.errors import AmqpError
from amqpbroker.management import failure
from amqpbroker.management.access import Access

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.users.users import User
    from amqpbroker.broker.vhost import Vhost

#: Tags that open the API at all.
_MANAGEMENT = frozenset({"management", "monitoring", "policymaker", "administrator"})


@final
class Identity:
    """A user who has logged in. all_powerful: not a user, but somebody with this machine's token."""

    def __init__(self, broker: "Broker", user: "User", all_powerful: bool = False) -> None:
        self.broker = broker
        self.user = user
        self.all_powerful = all_powerful
        tags = frozenset(user.tags)
        self.manages: bool = bool(tags & _MANAGEMENT)
        self.is_administrator: bool = "administrator" in tags
        self.monitors: bool = self.is_administrator or "monitoring" in tags
        self.makes_policies: bool = self.is_administrator or "policymaker" in tags

    def permissions(self, vhost: str) -> Permissions | None:
        """What the user may do there, None if nothing."""
        if self.all_powerful:
            everything = Permissions(self.user.name, vhost)
            everything.grant(Grant(".*", ".*", ".*"))
            return everything
        try:
            return self.broker.users.permissions(self.user, vhost)
        except AmqpError:
            return None

    def sees_vhost(self, vhost: str) -> bool:
        """Whether what is in the vhost is shown."""
        return self.monitors or self.permissions(vhost) is not None

    def enters_vhost(self, vhost: str) -> bool:
        """Whether the user may go into the vhost; administrators may into all."""
        return self.is_administrator or self.permissions(vhost) is not None

    def vhosts(self) -> "list[Vhost]":
        """Those that are shown, by name."""
        found = [vhost for name, vhost in self.broker.vhosts.items() if self.sees_vhost(name)]
        return sorted(found, key=lambda vhost: vhost.name)

    def require(self, access: Access, vhost: str | None) -> None:
        """Raises ApiError 401 if that is not allowed."""
        if not self.manages:
            raise failure.not_authorised("Not management user")
        if access is Access.ADMIN and not self.is_administrator:
            raise failure.not_authorised("Not administrator user")
        if access is Access.MONITOR and not self.monitors:
            raise failure.not_authorised("Not monitor user")
        if access is Access.POLICYMAKER and not (self.makes_policies and (vhost is None or self.enters_vhost(vhost))):
            raise failure.not_authorised("User not authorised to access object")
        if vhost is None or access in (Access.USER, Access.ADMIN, Access.MONITOR):
            return
        if not (self.sees_vhost(vhost) if access is Access.VISIBLE else self.enters_vhost(vhost)):
            raise failure.not_authorised("User not authorised to access virtual host")
