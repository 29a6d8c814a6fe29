"""The user who asks, and what the tags of a user let it see (rabbit_mgmt_util.erl)."""

import asyncio
import enum
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, final

from amqpbroker.broker.users.permissions import Grant, Permissions
from amqpbroker.management import failure
from amqpbroker.management.backend_answer import answered

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.users.users import User
    from amqpbroker.management.formats.vhosts import DefinedVhost

#: Tags that open the API at all.
_MANAGEMENT = frozenset({"management", "monitoring", "policymaker", "administrator"})


class Access(enum.Enum):
    """Levels of access to a resource (rabbit_mgmt_util: is_authorized*).

    ANYBODY: without logging in. USER: any user with a tag of the management. VHOST: one with permissions in the vhost
    of the path, or an administrator. VISIBLE: the same, or one who monitors. MONITOR: monitoring or administrator.
    POLICYMAKER: policymaker with permissions in the vhost, or administrator. ADMIN: administrator.
    """

    ANYBODY = "anybody"
    USER = "user"
    VHOST = "vhost"
    VISIBLE = "visible"
    MONITOR = "monitor"
    POLICYMAKER = "policymaker"
    ADMIN = "admin"


@final
class Identity:
    """A user who has logged in. all_powerful: not a user, but somebody with this machine's token.

    loaded: permissions by vhost, as a backend has answered that does not answer at once.
    """

    def __init__(
        self,
        broker: "Broker",
        user: "User",
        all_powerful: bool = False,
        loaded: "dict[str, Permissions | None] | None" = None,
    ) -> None:
        self.broker = broker
        self.user = user
        self.all_powerful = all_powerful
        self._loaded = {} if loaded is None else loaded
        tags = frozenset(user.tags)
        self.manages: bool = bool(tags & _MANAGEMENT)
        self.is_administrator: bool = "administrator" in tags
        self.monitors: bool = self.is_administrator or "monitoring" in tags
        self.makes_policies: bool = self.is_administrator or "policymaker" in tags

    def renewed(self, user: "User") -> "Identity":
        """Return the identity of the same user after a change of it."""
        return Identity(self.broker, user, self.all_powerful, self._loaded)

    async def load(self, vhosts: Iterable[str]) -> None:
        """Request the permissions in these vhosts, unless they can be looked up at any time. Raises ApiError 503."""
        broker = self.broker
        if self.all_powerful or broker.logins.answers_at_once:
            return
        wanted = [name for name in vhosts if name in broker.defined_vhosts and name not in self._loaded]
        permit = partial(broker.logins.permit, self.user, False)
        answers = [answered(broker, partial(permit, name)) for name in wanted]
        self._loaded.update(zip(wanted, await asyncio.gather(*answers), strict=True))

    def permissions(self, vhost: str) -> Permissions | None:
        """Return the user's permissions in a vhost, None if there are none, or they were not loaded."""
        if self.all_powerful:
            everything = Permissions(self.user.name, vhost)
            everything.grant(Grant(".*", ".*", ".*"))
            return everything
        logins = self.broker.logins
        if not logins.answers_at_once:
            return self._loaded.get(vhost)
        found: list[Permissions | None] = []
        logins.permit(self.user, False, vhost, found.append)
        return found[0]

    def sees_vhost(self, vhost: str) -> bool:
        """Return whether the user sees the objects of the vhost."""
        return self.monitors or self.permissions(vhost) is not None

    def enters_vhost(self, vhost: str) -> bool:
        """Return whether the user may use the vhost; administrators may use all."""
        return self.is_administrator or self.permissions(vhost) is not None

    def vhosts(self) -> "list[DefinedVhost]":
        """Return the vhosts that the user sees, by name. Other brokers may serve some of them."""
        found = [vhost for name, vhost in self.broker.defined_vhosts.items() if self.sees_vhost(name)]
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
