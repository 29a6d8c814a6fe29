"""Random HTTP requests result in an answer or a closed connection: never in a 500, a traceback, or a hang."""

from tests.fuzz.http.campaign import Campaign
from tests.process import BrokerProcess


def test_every_http_request_gets_a_response_or_a_closed_connection(tmp_path):
    with BrokerProcess(tmp_path, *Campaign.ARGUMENTS) as broker:
        campaign = Campaign(broker, seed=1)
        report = campaign.run(lambda: campaign.report.requests < 2_500)
    assert report.findings == []
    assert report.streams > 50
