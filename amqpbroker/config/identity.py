"""Names and versions that the broker announces: RabbitMQ's, or its own if `product.identity` is set to `amqpbroker`.

RabbitMQ's are the default, since clients choose features by the announced product and version. The server property
`amqpbroker` always has the broker's own version.
"""

import os
import platform
import sys
from typing import NamedTuple

from amqpbroker import __version__
from amqpbroker.compat import Compat

#: The broker's own product name, independent of the announced identity.
OWN_NAME = "amqpbroker"
RABBITMQ = "rabbitmq"

#: Erlang release of Debian's RabbitMQ 4.0.5, which is plausible for the other series, too.
_OTP = "27.3.4.1"
_ERTS = "15.2.7"


class Identity(NamedTuple):
    """Names and versions for clients.

    product, version: the defaults of `product.name` and `product.version`. platform, copyright, information: the
    server properties of these names. runtime_version, runtime: version and full name of the language runtime, given as
    `erlang_version` and `erlang_full_version` in the HTTP API.
    """

    product: str
    version: str
    platform: str
    copyright: str
    information: str
    runtime_version: str
    runtime: str


def rabbitmq(compat: Compat) -> Identity:
    """Return the identity of RabbitMQ's release."""
    cores = os.cpu_count() or 1
    return Identity(
        product="RabbitMQ",
        version=compat.version,
        platform=f"Erlang/OTP {_OTP}",
        copyright=f"Copyright (c) 2007-{compat.copyright_until} Broadcom Inc and/or its subsidiaries",
        information="Licensed under the MPL 2.0. Website: https://rabbitmq.com",
        runtime_version=_OTP,
        runtime=f"Erlang/OTP {_OTP.partition('.')[0]} [erts-{_ERTS}] [source] [64-bit] [smp:{cores}:{cores}]"
        f" [ds:{cores}:{cores}:10] [async-threads:1] [jit:ns]",
    )


def own() -> Identity:
    """Return the identity of this broker."""
    return Identity(
        product=OWN_NAME,
        version=__version__,
        platform=f"Python {platform.python_version()}",
        copyright=f"Copyright (c) the {OWN_NAME} authors",
        information=f"{OWN_NAME} {__version__}",
        runtime_version=platform.python_version(),
        runtime=python(),
    )


def python() -> str:
    """Return the interpreter's name, version and build."""
    return f"{platform.python_implementation()} {' '.join(sys.version.split())}"
