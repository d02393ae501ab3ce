"""files/airfield_kubernetes.py: which requests are narrowed to the environment's own Pods."""

from types import ModuleType
from urllib.parse import parse_qs, urlsplit

import pytest

PODS = "https://10.0.0.1/api/v1/namespaces/team-a/pods"
LABEL = "airfield.dev/environment=demo"


@pytest.mark.parametrize(
    ("url", "selector"),
    [
        (PODS, LABEL),
        (f"{PODS}?labelSelector=airflow-worker%3D1%2Ca%21%3DTrue&watch=True", f"airflow-worker=1,a!=True,{LABEL}"),
        (f"{PODS}?labelSelector=airflow-worker+notin+%281%2C2%29", f"airflow-worker notin (1,2),{LABEL}"),
        (f"{PODS}?labelSelector=&limit=5", LABEL),
        ("https://10.0.0.1/api/v1/pods?watch=true", LABEL),
    ],
)
def test_lists_and_watches_are_narrowed(script: dict[str, ModuleType], url: str, selector: str) -> None:
    scoped = urlsplit(script["airfield_kubernetes"].scoped("GET", url, "demo"))
    assert parse_qs(scoped.query)["labelSelector"] == [selector]
    others = {key: value for key, value in parse_qs(urlsplit(url).query).items() if key != "labelSelector"}
    assert {key: value for key, value in parse_qs(scoped.query).items() if key != "labelSelector"} == others


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", PODS),
        ("GET", f"{PODS}/task-1"),
        ("PATCH", f"{PODS}/task-1"),
        ("DELETE", f"{PODS}/task-1"),
        ("GET", f"{PODS}/task-1/log?container=base"),
        ("GET", "https://10.0.0.1/api/v1"),
        ("GET", "https://10.0.0.1/api/v1/namespaces/pods"),
    ],
)
def test_other_requests_are_left_alone(script: dict[str, ModuleType], method: str, url: str) -> None:
    assert script["airfield_kubernetes"].scoped(method, url, "demo") == url
