"""Values of the arguments and policy keys of locks: the acknowledgement timeout of deliveries, and its effect."""

from typing import Final

#: x-consumer-timeout-action: the effect of an acknowledgement that is overdue. The messages return to the queue; they
#: return and the consumer is cancelled; the channel is closed.
RETURN: Final = "return"
CANCEL: Final = "cancel"
CLOSE: Final = "close"
ACTIONS: Final = (RETURN, CANCEL, CLOSE)

#: x-consumer-timeout-renew: the time starts anew as long as the client is heard, or it does not.
HEARTBEAT: Final = "heartbeat"
NONE: Final = "none"
RENEWALS: Final = (HEARTBEAT, NONE)
