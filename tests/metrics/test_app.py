import pytest

from tests.metrics.scrape import Scraper

PAGES = ("/metrics", "/metrics/", "/metrics/per-object", "/metrics/per-object/", "/metrics/detailed")
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize("path", [*PAGES, "/metrics/memory-breakdown"])
async def test_metrics_are_readable_without_a_login(path):
    answer = await Scraper().get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    assert "rabbitmq_build_info{" in answer.text


async def test_unknown_metrics_path_is_not_found():
    answer = await Scraper().get("/metrics/nope")
    assert (answer.status_code, answer.text) == (404, "Unknown Registry")
    assert answer.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("path", ["/", "/api/overview", "/metrics/per-object/more", "/metricsx", "/metrics//x"])
async def test_metrics_port_serves_nothing_else(path):
    answer = await Scraper().get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Object Not Found", "reason": "Not Found"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_metrics_port_accepts_only_reads(method):
    assert (await Scraper().get(method=method)).status_code == 405


async def test_head_request_for_metrics_returns_no_body():
    answer = await Scraper().get(method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_prometheus_gets_openmetrics():
    answer = await Scraper().get(accept=PROMETHEUS)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    assert answer.text.count("# EOF") == 1


async def test_unacceptable_formats_are_refused():
    assert (await Scraper().get(accept="application/json")).status_code == 406


async def test_metrics_are_served_at_the_configured_path():
    scraper = Scraper(path="/elsewhere/m")
    assert (await scraper.get("/elsewhere/m")).status_code == 200
    assert (await scraper.get("/elsewhere/m/per-object")).status_code == 200
    assert (await scraper.get("/metrics")).status_code == 404


async def test_per_object_metrics_at_metrics_if_configured():
    scraper = Scraper(return_per_object_metrics=True)
    scraper.wire().declare("q")
    assert ("rabbitmq_queue_messages", "q", "/") in await scraper.samples("/metrics")
