"""The table of clients: their descriptions, their dependencies, and the commands of their scripts."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = HERE / ".work"  # build results; not under version control

# Checks that every client performs, or reports as not applicable.
CHECKS = (
    "topology",
    "confirms",
    "acks",
    "priorities",
    "ttl-dlx",
    "wait-retry",
    "reject-dlq",
    "reconnect",
    "large-message",
    "channel-error",
)

# Checks that every tool of the management API performs, or reports as not applicable.
MANAGEMENT_CHECKS = (
    "lists",
    "topology",
    "messages",
    "purge-delete",
    "users",
    "policies",
    "definitions",
    "errors",
)


@dataclass(frozen=True)
class Client:
    """One row of the matrix.

    `command` is run in the repository's root; `build` before it, without a time limit. `environment` is added to both.
    `--install` installs `apt` and `npm` (a folder with a package.json); Python clients have requirements.txt.
    `apt_file` is a (package, file) that is extracted from a Debian package to `WORK`, without installing it. `checks`
    are those of an AMQP client, or of a tool of the management API, or empty for examples. `broker_options` are further
    options of `amqpbroker serve`.
    """

    name: str
    language: str
    command: tuple[str, ...]
    build: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    apt: tuple[str, ...] = ()
    apt_file: tuple[str, str] | None = None
    npm: str = ""
    timeout_s: float = 240.0
    checks: tuple[str, ...] = CHECKS
    broker_options: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """The program that is not installed here, or an empty string."""
        if self.apt_file is not None and not (WORK / Path(self.apt_file[1]).name).exists():
            return Path(self.apt_file[1]).name
        for command in (self.build, self.command):
            if command and shutil.which(command[0], path=os.environ.get("PATH")) is None:
                is_built_here = Path(command[0]).is_relative_to(WORK)
                if not is_built_here:
                    return command[0]
        return ""


def _python(name: str, module: str) -> Client:
    return Client(name, "Python", (sys.executable, "-m", f"interop.{module}"))


def _python_tool(
    name: str, apt_file: tuple[str, str] | None = None, environment: dict[str, str] | None = None
) -> Client:
    return Client(
        name,
        "Python",
        (sys.executable, "-m", f"interop.{name}.tool"),
        environment=environment or {},
        apt_file=apt_file,
        checks=MANAGEMENT_CHECKS,
    )


RABBITMQADMIN = WORK / "rabbitmqadmin"

CLIENTS = (
    _python("pika", "pika.blocking"),
    _python("pika-asyncio", "pika.asynchronous"),
    _python("aio_pika", "aio_pika.robust"),
    _python("kombu", "kombu.messaging"),
    _python("celery", "celery.producer"),
    Client("amqplib", "Node.js", ("node", "interop/amqplib/client.mjs"), npm="interop/amqplib", apt=("nodejs", "npm")),
    Client(
        "amqp091_go",
        "Go",
        (str(WORK / "amqp091_go"),),
        build=("go", "build", "-o", str(WORK / "amqp091_go"), "./interop/amqp091_go"),
        # GOPATH mode: Debian has the source of its Go libraries in /usr/share/gocode, so nothing is downloaded.
        environment={"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOTOOLCHAIN": "local"},
        apt=("golang-go", "golang-github-rabbitmq-amqp091-go-dev"),
    ),
    Client("rabbitmq_c", "C", ("bash", "interop/rabbitmq_c/client.sh"), apt=("amqp-tools",)),
    Client("bunny", "Ruby", ("ruby", "interop/bunny/client.rb"), apt=("ruby", "ruby-bunny")),
    Client("php_amqplib", "PHP", ("php", "interop/php_amqplib/client.php"), apt=("php-cli", "php-amqplib")),
    _python_tool("rabbitmqadmin", ("rabbitmq-server", "usr/bin/rabbitmqadmin"), {"RABBITMQADMIN": str(RABBITMQADMIN)}),
    _python_tool("flower"),
    _python_tool("amqpstorm"),
    _python_tool("pyrabbit2"),
    Client(
        "rabbitmq_admin",
        "Node.js",
        ("node", "interop/rabbitmq_admin/tool.cjs"),
        npm="interop/rabbitmq_admin",
        apt=("nodejs", "npm"),
        checks=MANAGEMENT_CHECKS,
    ),
    Client("shovel", "Python", (sys.executable, "-m", "interop.shovel.both_ways"), checks=()),
    Client(
        "examples",
        "Python and Node.js",
        (sys.executable, "-m", "interop.examples.programs"),
        # Users of docs/examples have amqplib in a parent folder; here it is in the folder of the client of that name.
        environment={"NODE_PATH": str(HERE / "amqplib" / "node_modules")},
        apt=("nodejs", "npm"),
        npm="interop/amqplib",
        checks=(),
    ),
    Client(
        "features",
        "Python, Node.js and PHP",
        (sys.executable, "-m", "interop.examples.features"),
        apt=("nodejs", "npm", "php-cli", "php-amqplib"),
        npm="interop/amqplib",
        checks=(),
        broker_options=("--testing",),
    ),
)
