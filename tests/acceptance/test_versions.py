"""api.md §12.2: the versions that were launched, and which is the latest."""

import asyncio

import pytest

from dbos import DBOS, DBOSClient, error
from tests.support.fixture_types import Launch


def test_versions_are_listed_and_the_latest_is_chosen(launch: Launch, database_url: str) -> None:
    launch(application_version="v1")
    launch(application_version="v2")
    assert [each["version_name"] for each in DBOS.list_application_versions()] == ["v2", "v1"]
    DBOS.set_latest_application_version("v1")
    latest = DBOS.get_latest_application_version()
    assert (latest["version_name"], latest["application_name"]) == ("v1", "test-app")
    DBOS.set_latest_application_version("unknown")
    assert asyncio.run(DBOS.get_latest_application_version_async())["version_name"] == "v1"
    with pytest.raises(error.DBOSException, match="of application test-app"):
        DBOS.set_latest_application_version("v2", application_name="another")
    with DBOSClient(system_database_url=database_url) as client:
        client.set_latest_application_version("v2")
        assert [each["version_name"] for each in client.list_application_versions()] == ["v2", "v1"]
    with DBOSClient(system_database_url=database_url, application_name="another") as client:
        assert client.list_application_versions() == []
        with pytest.raises(error.DBOSException, match="launched so far"):
            client.get_latest_application_version()
