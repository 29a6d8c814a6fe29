"""A path of the testing API with its handlers."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from amqpbroker.management.call import Call
from amqpbroker.management.failure import ApiError
from amqpbroker.management.formats.tables import shown_name
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Handler, Resource
from amqpbroker.testing.instance import Instance

#: Returns an answer, or a coroutine for it. See `management.resource.Handler`.
LabHandler = Callable[[Instance, Call], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """A resource for administrators. path: below /api."""

    path: str
    get: LabHandler | None = None
    put: LabHandler | None = None
    post: LabHandler | None = None
    delete: LabHandler | None = None

    def resource(self, instance: Instance) -> Resource:
        """Return the resource of one broker."""

        def bound(handler: LabHandler | None) -> Handler | None:
            return None if handler is None else partial(_answer, handler, instance)

        return Resource(self.path, Access.ADMIN, bound(self.get), bound(self.put), bound(self.post), bound(self.delete))


def missing(reason: str) -> ApiError:
    """Return an answer 404 whose reason says which objects there are."""
    return ApiError(404, "Object Not Found", shown_name(reason))


async def _answer(handler: LabHandler, instance: Instance, call: Call) -> Any:
    """Return the answer of a handler; a timeout is answered with 409 and a reason."""
    try:
        answer = handler(instance, call)
        return await answer if inspect.isawaitable(answer) else answer
    except TimeoutError as error:
        raise ApiError(409, "not_so", shown_name(str(error))) from None
