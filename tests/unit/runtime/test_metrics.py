from __future__ import annotations

import re

import pytest

from airfield.runtime.metrics import EnvironmentState, Metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.exposition().decode().splitlines()


def test_exposition() -> None:
    metrics = Metrics("1.2.3")
    metrics.on_request("apply", "Deployment", 200)
    metrics.on_request("apply", "Deployment", 200)
    metrics.on_render("cached")
    metrics.on_event("Pod")
    depth, leading = [4], [False]
    metrics.watch_queue("environments", lambda: depth[0], lambda: 1.5)
    metrics.watch_leadership(lambda: leading[0])
    metrics.watch_relists(lambda: 17.0, lambda: 18.0, 600)
    depth[0], leading[0] = 5, True
    metrics.reconcile_seconds.labels("AirflowEnvironment", "ok").observe(0.02)
    text = lines(metrics)
    for line in (
        'airfield_api_requests_total{code="200",kind="Deployment",verb="apply"} 2.0',
        'airfield_helm_renders_total{outcome="cached"} 1.0',
        'airfield_watch_events_total{kind="Pod"} 1.0',
        'airfield_queue_depth{queue="environments"} 5.0',
        'airfield_queue_oldest_age_seconds{queue="environments"} 1.5',
        'airfield_reconcile_duration_seconds_count{kind="AirflowEnvironment",outcome="ok"} 1.0',
        "airfield_leader 1.0",
        "airfield_relist_age_seconds 17.0",
        "airfield_watch_age_seconds 18.0",
        "airfield_resync_interval_seconds 600.0",
    ):
        assert line in text
    assert any(
        re.fullmatch(r'airfield_build_info\{python="3\.\d+\.\d+",version="1\.2\.3"\} 1\.0', line) for line in text
    )


HEALTHY = (("Ready", "True"), ("Healthy", "True"))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([], set(), id="none"),
        pytest.param(
            [
                EnvironmentState("a", "x", "t", "std", "3", "dev", "True", "Fine", conditions=HEALTHY),
                EnvironmentState("b", "x", "t", "std", "3", "dev", "True", "Fine", paused=True, conditions=HEALTHY),
                EnvironmentState(
                    "a", "y", "", "std", "", "prod", "False", "None", stalled=True, conditions=(("Ready", "False"),)
                ),
            ],
            {
                'airfield_environments{class="std",ready="True",reason="Fine",stage="dev",tenant="t",version="3"} 2.0',
                'airfield_environments{class="std",ready="False",reason="None",stage="prod",tenant="",version=""} 1.0',
                'airfield_environment_info{class="std",name="x",namespace="a",stage="dev",tenant="t",version="3"} 1.0',
                'airfield_environment_info{class="std",name="x",namespace="b",stage="dev",tenant="t",version="3"} 1.0',
                'airfield_environment_info{class="std",name="y",namespace="a",stage="prod",tenant="",version=""} 1.0',
                'airfield_environment_ready{name="x",namespace="a"} 1.0',
                'airfield_environment_ready{name="x",namespace="b"} 1.0',
                'airfield_environment_ready{name="y",namespace="a"} 0.0',
                'airfield_environment_stalled{name="y",namespace="a",reason="None"} 1.0',
                'airfield_environment_paused{name="x",namespace="b"} 1.0',
                'airfield_environment_conditions{condition="Healthy",status="True"} 2.0',
                'airfield_environment_conditions{condition="Ready",status="True"} 2.0',
                'airfield_environment_conditions{condition="Ready",status="False"} 1.0',
            },
            id="several",
        ),
        pytest.param(
            [EnvironmentState("a", "x", certificate="CertificateExpired", expiry=60.0)],
            {
                'airfield_environments{class="",ready="Unknown",reason="",stage="",tenant="",version=""} 1.0',
                'airfield_environment_info{class="",name="x",namespace="a",stage="",tenant="",version=""} 1.0',
                'airfield_environment_ready{name="x",namespace="a"} 0.0',
                'airfield_certificate_problem{name="x",namespace="a",reason="CertificateExpired"} 1.0',
                'airfield_certificate_expiry_timestamp_seconds{name="x",namespace="a"} 60.0',
            },
            id="with a certificate",
        ),
        pytest.param(
            [EnvironmentState("a", "new")],
            {
                'airfield_environments{class="",ready="Unknown",reason="",stage="",tenant="",version=""} 1.0',
                'airfield_environment_info{class="",name="new",namespace="a",stage="",tenant="",version=""} 1.0',
                'airfield_environment_ready{name="new",namespace="a"} 0.0',
            },
            id="not looked at yet",
        ),
    ],
)
def test_environments(states: list[EnvironmentState], expected: set[str]) -> None:
    metrics = Metrics()
    metrics.watch_environments(lambda: [EnvironmentState("gone", "gone")])
    assert lines(metrics)
    metrics.watch_environments(lambda: states)
    assert {
        line for line in lines(metrics) if line.startswith(("airfield_environment", "airfield_certificate"))
    } == expected


def test_two_do_not_share_anything() -> None:
    Metrics().on_render("ok")
    assert "airfield_helm_renders_total{" not in Metrics().exposition().decode()
