"""Who has a host name: given once, known again after a restart, and free as soon as its environment is gone."""

from types import SimpleNamespace
from typing import Any

import pytest

from airfield.api import meta
from airfield.environment.ensure.hosts import Hosts
from airfield.environment.resolve import Unresolved
from airfield.kube.inventory import Inventory
from airfield.kube.resources import Resources

Key = tuple[str, str]
FIRST, SECOND = ("team-a", "first"), ("team-b", "second")
INGRESS = ("networking.k8s.io/v1", "Ingress", {"rules": [{"host": "a.example.com"}, {}]})
HTTP_ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute", {"hostnames": ["a.example.com"]})


def body(key: Key, url: str = "") -> dict[str, Any]:
    metadata = {"namespace": key[0], "name": key[1], "uid": "/".join(key), "resourceVersion": "1"}
    return {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"url": url}}


def platform(urls: dict[Key, str], *routes: tuple[Key, tuple[str, str, dict[str, Any]]], owned: bool = True) -> Any:
    resources, inventory = Resources(), Inventory()
    resources.environments.update({key: body(key, url) for key, url in urls.items()})
    for key, (api_version, kind, spec) in routes:
        metadata: dict[str, Any] = {"namespace": key[0], "name": f"{key[1]}-api-server"}
        metadata |= {"uid": "r", "resourceVersion": "1"}
        labels = {meta.LABEL_ENVIRONMENT: key[1], meta.LABEL_MANAGED_BY: meta.MANAGED_BY}
        fields = {"manager": meta.FIELD_MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}}
        metadata |= {"labels": labels, "managedFields": [fields] if owned else []}
        inventory.observe({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})
    return SimpleNamespace(resources=resources, inventory=inventory)


def wants(key: Key, host: str = "a.example.com") -> Any:
    return SimpleNamespace(namespace=key[0], name=key[1], exposed=SimpleNamespace(host=host))


def test_whoever_has_it_keeps_it() -> None:
    hosts = Hosts(platform({FIRST: "", SECOND: ""}))
    assert hosts.take(wants(FIRST))
    assert not hosts.take(wants(FIRST))
    with pytest.raises(Unresolved, match="that of environment team-a/first"):
        hosts.take(wants(SECOND))
    hosts.forget(FIRST)
    assert hosts.take(wants(SECOND))


def test_it_is_free_as_soon_as_its_environment_is_gone() -> None:
    """The watch may tell of a deletion before the pass that let go comes to its end."""
    doors = platform({FIRST: "", SECOND: ""})
    hosts = Hosts(doors)
    hosts.take(wants(FIRST))
    del doors.resources.environments[FIRST]
    assert hosts.take(wants(SECOND))
    hosts.forget(FIRST)  # that end
    doors.resources.environments[FIRST] = body(FIRST)
    with pytest.raises(Unresolved, match="that of environment team-b/second"):
        hosts.take(wants(FIRST))


@pytest.mark.parametrize(
    "doors",
    [
        pytest.param(platform({FIRST: "https://a.example.com", SECOND: ""}), id="status"),
        pytest.param(platform({FIRST: "https://b.example.com", SECOND: ""}, (FIRST, INGRESS)), id="ingress"),
        pytest.param(platform({FIRST: "", SECOND: ""}, (FIRST, HTTP_ROUTE)), id="route"),
        pytest.param(platform({FIRST: "https://a.example.com", SECOND: ""}, (SECOND, INGRESS)), id="another-route"),
    ],
)
def test_whoever_leads_next_knows_who_had_it(doors: Any) -> None:
    hosts = Hosts(doors)
    with pytest.raises(Unresolved, match="that of environment team-a/first"):
        hosts.take(wants(SECOND))


def test_what_a_status_says_goes_before_routes() -> None:
    hosts = Hosts(platform({FIRST: "", SECOND: "https://a.example.com"}, (FIRST, INGRESS)))
    with pytest.raises(Unresolved, match="that of environment team-b/second"):
        hosts.take(wants(FIRST))


def test_a_route_that_only_bears_our_label_gives_nothing() -> None:
    assert Hosts(platform({FIRST: "", SECOND: ""}, (FIRST, INGRESS), owned=False)).take(wants(SECOND))


def test_who_comes_back_under_its_name_takes_nothing_away() -> None:
    """Its former self was gone for a moment, in which another one was given the host name."""
    doors = platform({FIRST: "", SECOND: ""})
    hosts = Hosts(doors)
    hosts.take(wants(FIRST))
    former = doors.resources.environments.pop(FIRST)
    hosts.take(wants(SECOND))
    doors.resources.environments[FIRST] = former
    hosts.give_back(wants(FIRST))
    hosts.forget(FIRST)
    with pytest.raises(Unresolved, match="that of environment team-b/second"):
        hosts.take(wants(FIRST))


def test_what_was_left_behind_is_free_when_the_move_is_over() -> None:
    hosts = Hosts(platform({FIRST: "https://b.example.com", SECOND: ""}, (FIRST, INGRESS)))
    assert not hosts.take(wants(FIRST))
    hosts.settled(FIRST, "https://a.example.com")
    assert hosts.take(wants(SECOND, "b.example.com"))
