"""An API for commands that answers each path as a test says, and brokers with one database as it shows them."""

from amqpbroker.cli.ctl.command import Call


class StillApi:
    """answers: by path; an error is raised. led: vhosts that the broker leads. requests: paths that were read."""

    def __init__(self, answers, led=()):
        self.answers = answers
        self.led = led
        self.requests = []

    def get(self, path):
        self.requests.append(path)
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def leads(self, vhost):
        return vhost in self.led


def call(api, *words, **options):
    return Call(lambda: api, list(words), options, "/", 60.0)


def listener(node, port, protocol="amqp"):
    return {"node": node, "protocol": protocol, "ip_address": "127.0.0.1", "port": port}


def node(name, **more):
    """A broker with a database, as the list of nodes has it."""
    return {
        "name": name, "running": True, "drained": False, "address": f"{name}:5672", "lag": None, "last_seen": 0,
        "led_vhosts": 1, "writes_definitions": False, "amqpbroker": {"version": "1.2"}, **more,
    }  # fmt: skip
