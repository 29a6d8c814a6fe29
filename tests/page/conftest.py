"""A browser, and the page in front of a broker."""

import contextlib
import os
import shutil

import httpx
import pytest

from conformance.rabbitmq import own_rabbitmq
from tests.page.server import PageServer
from tests.process import PATIENCE_S, BrokerProcess

#: Set where the tests must not be skipped for want of a browser.
REQUIRED = os.environ.get("PAGE_TESTS") == "required"

#: Which broker is behind the page: ours, or a real RabbitMQ, which the page has to suit as well.
BEHIND = os.environ.get("PAGE_API", "amqpbroker")

# Nothing but the page is asked for anything, and a container without user namespaces will do.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium on this machine; as root: tools/chromium"
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    return path


class Subject:
    """url: the page. amqp_port: the broker. `api` asks the HTTP API as guest."""

    def __init__(self, url, amqp_port, is_ours):
        self.url = url
        self.amqp_port = amqp_port
        self.is_ours = is_ours
        self.api = httpx.Client(base_url=f"{url}api/", auth=("guest", "guest"), timeout=PATIENCE_S)

    def put(self, path, **body):
        self.api.put(path, json=body).raise_for_status()

    def get(self, path, **query):
        answer = self.api.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def publish(self, queue, payload, count=1):
        body = {"properties": {}, "routing_key": queue, "payload": payload, "payload_encoding": "string"}
        for _ in range(count):
            self.api.post("exchanges/%2F/amq.default/publish", json=body).raise_for_status()


@contextlib.contextmanager
def subject_on(directory, prefix="", **settings):
    """settings: of our broker, with __ for a dot."""
    named = {"management.path_prefix": prefix} if prefix else {}
    named |= {name.replace("__", "."): value for name, value in settings.items()}
    flags = [flag for name, value in named.items() for flag in ("--set", f"{name}={value}")]
    with contextlib.ExitStack() as stack:
        if BEHIND == "amqpbroker":
            broker = stack.enter_context(BrokerProcess(directory, "--management-port", "0", *flags))
            subject = Subject(f"http://127.0.0.1:{broker.port_of('http')}{prefix}/", broker.port, is_ours=True)
        else:
            rabbitmq = stack.enter_context(own_rabbitmq())
            server = stack.enter_context(PageServer(rabbitmq.management_url, prefix))
            subject = Subject(server.url, rabbitmq.port, is_ours=False)
        stack.enter_context(subject.api)
        yield subject


# A running Playwright keeps an event loop on the thread, which tests with loops of their own do not bear: it must not
# outlive the module.
@pytest.fixture(scope="module")
def browser():
    path = chromium()
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_S * 1000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def subject(tmp_path_factory, browser):
    with subject_on(tmp_path_factory.mktemp("page")) as subject:
        yield subject


class Watched:
    """Opens pages, and holds against the test what no page may do."""

    def __init__(self, browser):
        self.browser = browser
        self.wrong = []
        self.contexts = []

    def open(self, url, **options):
        context = self.browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_S * 1000)
        self.contexts.append(context)
        page = context.new_page()
        origin = "/".join(url.split("/")[:3])
        page.on("console", self.on_console)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.on_request(request, origin))
        page.goto(url)
        return page

    def on_console(self, message):
        # Answers of the API that are errors are the page's to tell, and the browser notes each.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.wrong.append(message.text)

    def on_request(self, request, origin):
        if not request.url.startswith((f"{origin}/", f"blob:{origin}/")):
            self.wrong.append(f"asked for {request.url}")


@pytest.fixture
def watched(browser):
    watched = Watched(browser)
    yield watched
    for context in watched.contexts:
        context.close()
    assert watched.wrong == []


def log_in(page, name="guest", password="guest"):
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def page(watched, subject):
    """The overview, logged in as guest."""
    page = watched.open(subject.url)
    log_in(page)
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    return page


@pytest.fixture
def visit(page, subject):
    """Goes to a place on the page by its address."""

    def visit(where):
        page.evaluate("where => { location.hash = where }", where)
        return page

    return visit


def queue(subject, name, **body):
    """Declare a durable queue in the vhost / and return its name."""
    subject.put(f"queues/%2F/{name}", durable=True, **body)
    return name


#: Name -> address of every page.
PLACES = {
    "overview": "#/",
    "connections": "#/connections",
    "channels": "#/channels",
    "exchanges": "#/exchanges",
    "exchange": "#/exchanges/%2F/read.aloud",
    "queues": "#/queues",
    "queue": "#/queues/%2F/read.aloud",
    "batches": "#/batches",
    "jobs": "#/jobs",
    "users": "#/users",
    "user": "#/users/guest",
    "virtual hosts": "#/vhosts",
    "virtual host": "#/vhosts/%2F",
    "policies": "#/policies",
    "policy": "#/policies/%2F/read.aloud",
    "live messages": "#/live",
    "live messages of a queue": "#/live/%2F/queue/read.aloud",
    "limits": "#/limits",
    "shovels": "#/shovels",
    "definitions": "#/definitions",
    "nowhere": "#/nowhere",
}


def arrive(page, address):
    """Goes there, and waits until what is there has been read."""
    from playwright.sync_api import expect

    page.evaluate("where => { location.hash = where }", address)
    page.locator("h1").wait_for()
    expect(page.get_by_text("Loading…")).to_have_count(0)
    page.wait_for_timeout(400)
