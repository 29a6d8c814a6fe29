"""Faults planted into a copy of the broker, one at a time, which the simulator must find."""

from tests.simulation.planted.amqp import AMQP
from tests.simulation.planted.broker import BROKER
from tests.simulation.planted.limits import LIMITS
from tests.simulation.planted.management import MANAGEMENT
from tests.simulation.planted.queues import QUEUES
from tests.simulation.planted.shovels import SHOVELS
from tests.simulation.planted.store import STORE
from tests.simulation.planted.streams import STREAMS
from tests.simulation.planted.work_queues import WORK_QUEUES

PLANTED = (*STORE, *QUEUES, *AMQP, *BROKER, *MANAGEMENT, *WORK_QUEUES, *STREAMS, *SHOVELS, *LIMITS)
