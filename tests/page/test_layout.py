"""The layout: columns and menu at the widths of a laptop and of a phone, themes, and the versions that are shown."""

import re
import time

import pytest
from playwright.sync_api import expect

import amqpbroker
from tests.page.conftest import PLACES, arrive, log_in, queue
from tests.process import PATIENCE_S

#: Rows of busy objects with long names: as wide as rows usually get.
RATE = {"rate": 12345.6}
STATS = {f"{name}_details": RATE for name in ("publish", "deliver_get", "ack", "publish_in", "publish_out")}
CONNECTION = "192.168.100.101:55555 -> 192.168.100.102:5672"
BUSY = {
    "queues": {
        "name": "orders.invoices.retry.north-europe",
        "vhost": "production",
        "type": "classic",
        "state": "running",
        "messages_ready": 1234567,
        "messages_unacknowledged": 12345,
        "messages": 1246912,
        "consumers": 1234,
        "durable": True,
        "message_stats": STATS,
        "policy": "orders-limits",
        "arguments": {"x-message-ttl": 1},
    },
    "channels": {
        "name": f"{CONNECTION} (12)",
        "vhost": "production",
        "user": "invoice-worker",
        "confirm": True,
        "number": 12,
        "state": "running",
        "consumer_count": 123,
        "prefetch_count": 1000,
        "messages_unacknowledged": 12345,
        "messages_unconfirmed": 12345,
        "message_stats": STATS,
        "connection_details": {"name": CONNECTION, "user_provided_name": "invoice-worker-7f9c5d6b4-x2x1z"},
    },
    "connections": {
        "name": CONNECTION,
        "vhost": "production",
        "user": "invoice-worker",
        "state": "blocked",
        "ssl": True,
        "protocol": "AMQP 0-9-1",
        "channels": 123,
        "user_provided_name": "invoice-worker-7f9c5d6b4-x2x1z",
        "recv_oct_details": {"rate": 123456789.0},
        "send_oct_details": {"rate": 123456789.0},
    },
    "exchanges": {
        "name": "orders.invoices.north-europe",
        "vhost": "production",
        "type": "x-consistent-hash",
        "durable": True,
        "message_stats": STATS,
        "arguments": {},
    },
}


@pytest.mark.parametrize("kind", BUSY)
@pytest.mark.parametrize("width", [1280, 390])
def test_all_columns_are_visible_without_scrolling(page, kind, width):
    rows = [{**BUSY[kind], "name": f"{BUSY[kind]['name']}{number}"} for number in range(3)]
    answer = {"items": rows, "filtered_count": 3, "total_count": 3, "item_count": 3, "page": 1, "page_count": 1}
    page.route(re.compile(rf"/api/{kind}\?"), lambda route: route.fulfill(json=answer))
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("where => { location.hash = where }", f"#/{kind}")
    page.get_by_role("rowheader").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wanted, given = page.evaluate("(it => [it.scrollWidth, it.clientWidth])(document.querySelector('.table-box'))")
    assert wanted <= given
    # Nothing is cut within a cell, either.
    cut = page.evaluate(
        "[...document.querySelectorAll('tbody th, tbody td')].filter(it => it.scrollWidth > it.clientWidth + 1).length"
    )
    assert cut == 0


#: Keeps the box of each text that is drawn on a canvas, with the canvas's size, in window.drawn.
RECORD_TEXTS = """
window.drawn = [];
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
  const { a, d, e, f } = this.getTransform();
  const box = this.measureText(text);
  window.drawn.push({
    text,
    left: a * (x - box.actualBoundingBoxLeft) + e, right: a * (x + box.actualBoundingBoxRight) + e,
    top: d * (y - box.actualBoundingBoxAscent) + f, bottom: d * (y + box.actualBoundingBoxDescent) + f,
    width: this.canvas.width, height: this.canvas.height,
  });
  return fillText.call(this, text, x, y, ...rest);
};
"""


def drawn_texts(page):
    """Wait until two charts are drawn with their times, and return the texts on canvases."""
    deadline = time.monotonic() + PATIENCE_S
    while page.evaluate("window.drawn.filter(it => it.text.includes(':')).length") < 4:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.wait_for_timeout(300)
    return page.evaluate("window.drawn")


@pytest.mark.parametrize("width", [1440, 390])
def test_labels_of_charts_lie_inside_their_chart(page, subject, width):
    # The first and the last sample are at full hours, which have a label at each scale. Small values have short labels.
    overview = subject.get("overview")
    until = int(time.time()) // 3600 * 3600

    def answer(route):
        age = int(re.search(r"lengths_age=(\d+)", route.request.url)[1])
        samples = [{"sample": 0, "timestamp": at * 1000} for at in (until, until - age // 2, until - age)]
        details = {"rate": 0.0, "samples": samples}
        lengths = {"queue_totals": {"messages": 0, "messages_details": details}}
        rates = {"message_stats": {"publish": 0, "publish_details": details}}
        route.fulfill(json={**overview, **lengths, **rates})

    page.route(re.compile(r"/api/overview\?"), answer)
    page.add_init_script(RECORD_TEXTS)
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    ages = page.get_by_label("Charts show the last")
    for age in ages.locator("option").evaluate_all("options => options.map(it => it.value)"):
        page.evaluate("window.drawn = []")
        ages.select_option(age)
        drawn = drawn_texts(page)
        outside = [
            it
            for it in drawn
            if it["left"] < 0 or it["right"] > it["width"] or it["top"] < 0 or it["bottom"] > it["height"]
        ]
        assert outside == [], age


def test_labels_of_bindings_do_not_lie_on_their_lines(page, visit, subject):
    subject.put("exchanges/%2F/drawn", type="topic", durable=True)
    queue(subject, "drawn.all")
    for number in range(4):
        queue(subject, f"drawn.{number}")
        subject.put(f"exchanges/%2F/drawn.{number}", type="topic", durable=True)
        subject.api.post(f"bindings/%2F/e/drawn/q/drawn.{number}", json={"routing_key": "orders.*.invoices.retry"})
        subject.api.post(f"bindings/%2F/e/drawn.{number}/q/drawn.all", json={"routing_key": "orders.*.invoices.retry"})
    for where, lines in (("exchanges/%2F/drawn", 4), ("queues/%2F/drawn.all", 5)):
        visit(f"#/{where}")
        expect(page.locator(".keys text")).to_have_count(lines)
        on_line = page.evaluate("""() => {
            const boxes = [...document.querySelectorAll(".keys text")].map(it => it.getBBox());
            const paths = [...document.querySelectorAll(".line path:not(.tip)")];
            return paths.filter((path, index) => {
                const box = boxes[index];
                const length = path.getTotalLength();
                const points = Array.from({ length: 200 }, (_, step) => path.getPointAtLength(length * step / 200));
                return points.some(({ x, y }) =>
                    x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height);
            }).length;
        }""")
        assert on_line == 0, where


def test_pages_fit_the_width_of_a_phone_and_have_a_menu(watched, subject):
    queue(subject, "narrow")
    page = watched.open(subject.url)
    page.set_viewport_size({"width": 390, "height": 800})
    log_in(page)
    for address in PLACES.values():
        arrive(page, address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{address} is {wide} wide"
    links = page.get_by_role("navigation", name="Main").get_by_role("link")
    menu = page.get_by_role("button", name="Menu")
    expect(links.filter(has_text="Queues")).to_be_hidden()
    expect(page.get_by_label("Refresh")).to_be_hidden()
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_label("Refresh")).to_be_visible()
    links.filter(has_text="Queues").focus()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    expect(links.filter(has_text="Queues")).to_be_hidden()
    menu.click()
    links.filter(has_text="Queues").click()
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_focused()
    expect(menu).to_have_attribute("aria-expanded", "false")
    expect(page.get_by_role("link", name="narrow")).to_be_visible()


def test_the_theme_is_chosen_and_remembered(watched, subject):
    page = watched.open(subject.url, color_scheme="dark")
    log_in(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    choice = page.get_by_label("Theme")
    expect(choice).to_have_value("system")
    choice.select_option("light")
    light = page.evaluate(ground)
    assert light != dark
    page.emulate_media(color_scheme="light")
    choice.select_option("dark")
    assert page.evaluate(ground) == dark
    page.reload()
    page.get_by_role("heading", name=re.compile("Overview|Log in"), level=1).wait_for()
    assert page.evaluate(ground) == dark
    page.evaluate("localStorage.setItem('amqpbroker.theme', 'purple')")
    page.reload()
    page.get_by_role("heading", name=re.compile("Overview|Log in"), level=1).wait_for()
    assert page.evaluate(ground) == light


def test_page_shows_the_broker_version_beside_the_rabbitmq_version(page, subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ has one version")
    navigation = page.get_by_role("navigation", name="Main")
    expect(navigation).to_contain_text(f"amqpbroker {amqpbroker.__version__}")
    compatible = f"RabbitMQ {subject.get('overview')['rabbitmq_version']}"
    expect(navigation).to_contain_text(f"Compatible with {compatible}")
    # A narrow column does not separate RabbitMQ from its version.
    assert navigation.get_by_text(compatible, exact=True).evaluate("it => it.getClientRects().length") == 1
