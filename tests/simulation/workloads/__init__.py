"""The workloads, one row each. A new feature adds a file with its clients and its checks, and a row."""

from tests.simulation.workloads.alarms import Alarms
from tests.simulation.workloads.anywhere import Anywhere
from tests.simulation.workloads.backoff import Backoff
from tests.simulation.workloads.batches import Batches
from tests.simulation.workloads.channels import Channels
from tests.simulation.workloads.delays import Delays
from tests.simulation.workloads.deletions import Deletions
from tests.simulation.workloads.duplicates import Duplicates
from tests.simulation.workloads.events import Events
from tests.simulation.workloads.expiring import Expiring
from tests.simulation.workloads.expiry import Expiry
from tests.simulation.workloads.flow import Flow
from tests.simulation.workloads.groups import Groups
from tests.simulation.workloads.heartbeats import Heartbeats
from tests.simulation.workloads.jobs import Jobs
from tests.simulation.workloads.last_values import LastValues
from tests.simulation.workloads.limits import Limits
from tests.simulation.workloads.locks import Locks
from tests.simulation.workloads.modelled import Modelled
from tests.simulation.workloads.order import Order
from tests.simulation.workloads.overdue import Overdue
from tests.simulation.workloads.poison import Poison
from tests.simulation.workloads.policies import Policies
from tests.simulation.workloads.purges import Purges
from tests.simulation.workloads.reads import Reads
from tests.simulation.workloads.redrives import Redrives
from tests.simulation.workloads.requests import Requests
from tests.simulation.workloads.retries import Retries
from tests.simulation.workloads.routing import Routing
from tests.simulation.workloads.shovels import Shovels
from tests.simulation.workloads.slow_readers import SlowReaders
from tests.simulation.workloads.standstills import Standstills
from tests.simulation.workloads.strangers import Strangers
from tests.simulation.workloads.streams import Streams
from tests.simulation.workloads.subscriptions import Subscriptions
from tests.simulation.workloads.super_streams import SuperStreams
from tests.simulation.workloads.topology import Topologies
from tests.simulation.workloads.transactions import Transactions
from tests.simulation.workloads.unread import Unread
from tests.simulation.workloads.unused import Unused
from tests.simulation.workloads.users import Users
from tests.simulation.workloads.vhosts import Vhosts

WORKLOADS = {
    "flow": Flow,
    "retries": Retries,
    "delays": Delays,
    "heartbeats": Heartbeats,
    "transactions": Transactions,
    "routing": Routing,
    "limits": Limits,
    "expiry": Expiry,
    "alarms": Alarms,
    "slow_readers": SlowReaders,
    "topology": Topologies,
    "users": Users,
    "policies": Policies,
    "vhosts": Vhosts,
    "reads": Reads,
    "expiring": Expiring,
    "order": Order,
    "standstills": Standstills,
    "backoff": Backoff,
    "poison": Poison,
    "overdue": Overdue,
    "requests": Requests,
    "deletions": Deletions,
    "subscriptions": Subscriptions,
    "strangers": Strangers,
    "modelled": Modelled,
    "purges": Purges,
    "channels": Channels,
    "unused": Unused,
    "duplicates": Duplicates,
    "anywhere": Anywhere,
    "last_values": LastValues,
    "locks": Locks,
    "groups": Groups,
    "batches": Batches,
    "redrives": Redrives,
    "streams": Streams,
    "jobs": Jobs,
    "super_streams": SuperStreams,
    "events": Events,
    "unread": Unread,
    "shovels": Shovels,
}
