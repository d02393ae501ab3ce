from __future__ import annotations

from airfield.runtime.metrics import Metrics


def test_exposition() -> None:
    metrics = Metrics()
    metrics.on_request("apply", "Deployment", 200)
    metrics.on_request("apply", "Deployment", 200)
    metrics.on_render("cached")
    metrics.set_environments({"True": 3})
    metrics.set_environments({"False": 1})
    depth = [4]
    metrics.watch_queue("environments", lambda: depth[0], lambda: 1.5)
    depth[0] = 5
    metrics.reconcile_seconds.labels("AirflowEnvironment", "ok").observe(0.02)
    text = metrics.exposition().decode()
    for line in (
        'airfield_api_requests_total{code="200",kind="Deployment",verb="apply"} 2.0',
        'airfield_helm_renders_total{outcome="cached"} 1.0',
        'airfield_environments{ready="True"} 0.0',
        'airfield_environments{ready="False"} 1.0',
        'airfield_queue_depth{queue="environments"} 5.0',
        'airfield_queue_oldest_age_seconds{queue="environments"} 1.5',
        'airfield_reconcile_duration_seconds_count{kind="AirflowEnvironment",outcome="ok"} 1.0',
    ):
        assert line in text.splitlines()


def test_two_do_not_share_anything() -> None:
    Metrics().on_render("ok")
    assert "airfield_helm_renders_total{" not in Metrics().exposition().decode()
