"""The operator's configuration."""

from pathlib import Path

import pytest

from airfield.settings import Settings, find_chart


def test_defaults() -> None:
    found = Settings.from_environ({})
    assert (found.namespace, found.workers, found.resync_seconds, found.log_level) == (
        "airfield-system",
        16,
        600,
        "INFO",
    )
    assert found.chart == find_chart()
    assert (found.chart / "Chart.yaml").is_file()


def test_every_variable() -> None:
    found = Settings.from_environ(
        {
            "AIRFIELD_NAMESPACE": "platform",
            "AIRFIELD_CHART": "/charts/x",
            "AIRFIELD_HELM": "/opt/helm",
            "AIRFIELD_IDENTITY": "airfield-5f7-x2k",
            "AIRFIELD_LEASE_SECONDS": "20",
            "AIRFIELD_WATCH_NAMESPACES": "team-a, team-b,team-a,",
            "AIRFIELD_IMAGE_PULL_SECRETS": "registry,other",
            "AIRFIELD_WORKERS": "4",
            "AIRFIELD_RESYNC_SECONDS": "30",
            "AIRFIELD_HEALTH_SECONDS": "1.5",
            "AIRFIELD_USAGE_SECONDS": "0",
            "AIRFIELD_AIRFLOW_URL": "http://localhost:8080/{namespace}/{name}",
            "AIRFIELD_METRICS_PORT": "0",
            "AIRFIELD_LOG_LEVEL": "debug",
        }
    )
    assert (found.namespace, found.chart, found.helm) == ("platform", Path("/charts/x"), "/opt/helm")
    assert (found.workers, found.resync_seconds, found.health_seconds, found.metrics_port) == (4, 30, 1.5, 0)
    assert found.usage_seconds == 0
    assert found.airflow_url.format(name="demo", namespace="team-a") == "http://localhost:8080/team-a/demo"
    assert found.log_level == "DEBUG"
    assert (found.identity, found.lease_seconds) == ("airfield-5f7-x2k", 20)
    assert found.watch_namespaces == ("team-a", "team-b")
    assert found.image_pull_secrets == ("registry", "other")


def test_without_an_identity_each_process_has_its_own() -> None:
    first, second = (Settings.from_environ({"AIRFIELD_IDENTITY": ""}).identity for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("WORKERS", value) for value in ("0", "-1", "many", "", "nan", "inf")),
        *(("RESYNC_SECONDS", value) for value in ("0", "-5", "1 min")),
        ("HEALTH_SECONDS", "0"),
        *(("LEASE_SECONDS", value) for value in ("0", "2", "soon")),
        *(("METRICS_PORT", value) for value in ("-1", "http")),
        *(("AIRFLOW_URL", value) for value in ("http://{host}", "http://{", "http://{0}", "http://{}")),
        *(("LOG_LEVEL", value) for value in ("LOUD", "")),
    ],
)
def test_what_cannot_be_understood_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"AIRFIELD_{name}=") as error:
        Settings.from_environ({f"AIRFIELD_{name}": value})
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("wrong", ["Team", "a/b", "-a", "x" * 64, "*"])
def test_a_namespace_that_cannot_be_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="AIRFIELD_WATCH_NAMESPACES") as error:
        Settings.from_environ({"AIRFIELD_WATCH_NAMESPACES": f"team-a,{wrong}"})
    assert repr(wrong) in str(error.value)
