"""How environments are reached: host names that nobody has twice, routes, certificates, kinds that are not served."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from airfield.kube import kinds
from airfield.kube.kinds import Kind, Ref
from certificates import Authority, encoded
from operated_cluster import Json, Site, Team, assert_says, define, eventually, undefine

pytestmark = pytest.mark.apiserver

TEMPLATE = "{name}.{namespace}.example.com"
GATEWAY = {"name": "public", "namespace": "gateways", "sectionName": "https"}
AUTHORITY = Authority()


@pytest.fixture
def definitions(site: Site) -> None:
    """The API server knows the kinds of the Gateway API and of cert-manager, from now on."""
    define(site.cluster)


async def expose(team: Team, **exposure: object) -> Json:
    return await team.put_class(exposure={"hostTemplate": TEMPLATE, **exposure})


async def status(team: Team, name: str = "demo") -> Json:
    live = await team.kube.get(team.environment(name))
    assert live is not None
    found: Json = live["status"]
    return found


async def reached_at(team: Team, url: str, name: str = "demo") -> bool:
    assert (await status(team, name)).get("url") == url
    return True


def host_of(team: Team, name: str = "demo") -> str:
    return f"{name}.{team.namespace}.example.com"


async def hosts(team: Team, name: str = "demo") -> list[str]:
    """The host names of an environment's Ingress."""
    found = await team.existing(kinds.INGRESS, f"{name}-api-server")
    return [rule["host"] for rule in found["spec"]["rules"]]


async def config(team: Team) -> str:
    return str((await team.existing(kinds.CONFIG_MAP, "demo-config"))["data"]["airflow.cfg"])


async def gone(team: Team, kind: Kind, name: str) -> bool:
    return await team.get(kind, name) is None


def in_namespace(versions: dict[Ref, str]) -> dict[Ref, str]:
    """Without tenant and class, which count environments."""
    return {ref: version for ref, version in versions.items() if ref.namespace}


async def test_from_inside_to_outside_and_back(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    inside = (await status(team))["url"]
    assert inside.startswith("http://")
    await expose(team, ingress={"className": "public", "annotations": {"example.com/a": "b"}})
    await eventually(lambda: reached_at(team, f"https://{host_of(team)}"))
    await team.until_ready()
    ingress = await team.existing(kinds.INGRESS, "demo-api-server")
    assert ingress["metadata"]["annotations"] == {"example.com/a": "b"}
    assert ingress["spec"]["ingressClassName"] == "public"
    assert await hosts(team) == [host_of(team)]
    assert f"base_url = https://{host_of(team)}\n" in await config(team)
    assert "CertificateValid" not in {each["type"] for each in (await status(team))["conditions"]}
    await team.put_class(exposure=None)
    await eventually(lambda: gone(team, kinds.INGRESS, "demo-api-server"))
    await eventually(lambda: reached_at(team, inside))
    assert "base_url" not in await config(team)


async def test_a_host_name_is_nobody_elses(team: Team) -> None:
    """Who has it keeps it, whoever is older; the other one is told, and gets it when it is free."""
    await expose(team, ingress={}, hostSuffixes=["example.com"])
    wanted = f"wanted.{team.namespace}.example.com"
    await team.put_environment("older")
    await team.until_ready("older")
    await team.put_environment("younger", exposure={"host": wanted})
    await team.until_ready("younger")
    before = in_namespace(await team.settled_versions("younger"))
    await team.put_environment("older", exposure={"host": wanted})
    words = (f"the host name {wanted!r} is that of environment {team.namespace}/younger", "spec.exposure.host")
    await team.until_stuck("HostTaken", *words, name="older")
    assert await hosts(team, "older") == [host_of(team, "older")], "it runs as it did"
    with team.site.no_operator():  # whoever leads next knows who had it
        pass
    await team.put_environment("third", exposure={"host": wanted})
    await team.until_stuck("HostTaken", f"{team.namespace}/younger", name="third")
    assert not await team.objects("third")
    await team.until_stuck("HostTaken", name="older")
    assert in_namespace(await team.versions("younger")) == before
    await team.put_environment("younger", exposure={"host": f"free.{team.namespace}.example.com"})
    await team.until_ready("older", "younger")
    assert await hosts(team, "older") == [wanted]
    await team.until_stuck("HostTaken", f"{team.namespace}/older", name="third")
    await team.kube.delete(team.environment("older"))
    await team.until_ready("third")
    assert await hosts(team, "third") == [wanted]


async def test_two_want_a_host_name_at_once(team: Team) -> None:
    """The older one gets it; one that could not be had in any case does not count."""
    await expose(team, ingress={}, hostSuffixes=["example.com"])
    wanted = {"host": f"wanted.{team.namespace}.example.com"}
    with team.site.no_operator():
        await team.put_environment("broken", exposure=wanted, version="1.0.0")
        for name in ("zoe", "adam"):
            await team.put_environment(name, exposure=wanted)
    listed = await team.kube.list(kinds.AIRFLOW_ENVIRONMENT, team.namespace)
    born = {each["metadata"]["name"]: each["metadata"]["creationTimestamp"] for each in listed}
    first, second = sorted(("adam", "zoe"), key=lambda name: (born[name], name))
    await team.until_ready(first)
    await team.until_stuck("HostTaken", f"{team.namespace}/{first}", name=second)


async def test_what_a_class_does_not_allow(team: Team) -> None:
    await team.put_environment(exposure={"host": "a.example.com"})
    await team.until_stuck("ExposureRefused", f"class {team.name!r} exposes no environments")
    await expose(team, ingress={}, hostSuffixes=["example.org"])
    await team.until_stuck("ExposureRefused", "'a.example.com' is below none of the domains", "(example.org)")
    await team.put_environment(exposure={"host": "a.example.org"}, config={"api": {"base_url": "https://b"}})
    await team.until_stuck("ReservedSetting", "config.api.base_url (set by environment)")
    await team.put_environment(exposure={"host": "a.example.org"})
    await team.until_ready()


async def put_certificate(team: Team, content: dict[str, str]) -> None:
    await team.put("v1", "Secret", "demo-cert", {"type": "Opaque", "data": encoded(content)})


async def certificate_is(team: Team, verdict: str, reason: str, *words: str) -> bool:
    condition = await team.condition("CertificateValid")
    assert (condition["status"], condition["reason"]) == (verdict, reason), condition
    assert_says(condition["message"], "demo-cert", *words)
    assert (await team.condition("Ready"))["status"] == "True"
    return True


async def test_the_course_of_a_certificate(team: Team) -> None:
    """Each change of the Secret is judged at once; Airflow is Ready all the time, and nothing of it is touched."""
    host, now = host_of(team), datetime.now(UTC).replace(microsecond=0)
    await expose(team, ingress={"tls": {"secretName": "{name}-cert"}})
    await team.put_environment()
    await team.until_ready()
    await eventually(lambda: certificate_is(team, "False", "CertificateNotFound", "create it"))
    own = Ref("airfield.dev/v1alpha1", "AirflowEnvironment", team.namespace, "demo")
    before = {ref: version for ref, version in (await team.settled_versions()).items() if ref != own}
    late, soon = now + timedelta(days=80), now + timedelta(days=10)
    course: tuple[tuple[dict[str, str], str, str, str, datetime | None], ...] = (
        (AUTHORITY.issue(host, until=late), "True", "Succeeded", f"valid until {late:%Y-%m-%d}", late),
        (AUTHORITY.issue("b.example.com", until=late), "False", "CertificateMismatch", "is for b.example.com", late),
        ({"tls.crt": "no certificate", "tls.key": "no key"}, "False", "CertificateUnreadable", "holds no", None),
        (AUTHORITY.issue(host, until=soon), "True", "CertificateExpiring", f"expires on {soon:%Y-%m-%d}", soon),
        (AUTHORITY.issue(host, since=late, until=late + timedelta(1)), "False", "CertificateNotYetValid", "not", None),
        (AUTHORITY.issue(host, since=now - timedelta(2), until=now), "False", "CertificateExpired", "expired", now),
        (AUTHORITY.issue(f"*.{host.partition('.')[2]}", until=late), "True", "Succeeded", "valid until", late),
    )
    for content, verdict, reason, words, until in course:
        await put_certificate(team, content)
        await eventually(lambda v=verdict, r=reason, w=words: certificate_is(team, v, r, w))  # type: ignore[misc]
        found = (await status(team))["certificate"]
        assert found["secret"] == "demo-cert"
        if until is not None:
            assert found["notAfter"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
    told = {each["reason"] for each in await team.kube.list(kinds.EVENT, team.namespace)}
    faults = {reason for _, _, reason, _, _ in course if reason != "Succeeded"}
    assert told >= {"CertificateNotFound", "CertificateValid"} | faults
    metrics = team.site.operator.metrics()
    series = f'airfield_certificate_expiry_timestamp_seconds{{name="demo",namespace="{team.namespace}"}}'
    (line,) = [each for each in metrics.splitlines() if each.startswith(series)]
    assert float(line.split()[-1]) == late.timestamp()
    assert f'airfield_certificate_problem{{name="demo",namespace="{team.namespace}"' not in metrics
    now_there = {ref: version for ref, version in (await team.versions()).items() if ref != own}
    assert now_there == before, "nothing is touched, least of all a pod"


async def at_rest(team: Team) -> None:
    """Once the operator has written nothing for five seconds: the ledger of costs comes three seconds late."""
    clock = asyncio.get_running_loop().time
    last, since = team.site.operator.writes(), clock()

    async def rested() -> bool:
        nonlocal last, since
        now = team.site.operator.writes()
        if now != last:
            last, since = now, clock()
        return clock() - since > 5

    await eventually(rested)


async def test_an_idle_environment_with_a_certificate_costs_no_write(team: Team) -> None:
    await expose(team, ingress={"tls": {"secretName": "{name}-cert"}})
    await put_certificate(team, AUTHORITY.issue(host_of(team)))
    await team.put_environment()
    await team.until_ready()
    await eventually(lambda: certificate_is(team, "True", "Succeeded"))
    await at_rest(team)
    before = await team.versions()
    writes, reads = team.site.operator.writes(), team.site.operator.requests()["get"]
    await team.kube.patch(team.ref(kinds.SECRET, "demo-cert"), {"metadata": {"labels": {"a": "b"}}})

    async def looked_again() -> bool:
        return team.site.operator.requests()["get"] > reads

    await eventually(looked_again)
    assert team.site.operator.writes() == writes
    with team.site.no_operator():
        pass
    await eventually(lambda: certificate_is(team, "True", "Succeeded"))
    assert await team.versions() == before
    assert team.site.operator.writes() == 0


async def test_kinds_that_are_not_served(team: Team) -> None:
    """Who needs them is told so, and nobody else; they may come and go while the operator runs."""
    await asyncio.to_thread(undefine, team.site.cluster)
    await expose(team, gateway=GATEWAY)
    await team.put_environment()
    await team.until_stuck("KindNotServed", "needs HTTPRoute of gateway.networking.k8s.io/v1", "Gateway API")
    await expose(team, ingress={"tls": {"issuerRef": {"name": "ca"}}})
    await team.until_stuck("KindNotServed", "needs Certificate of cert-manager.io/v1", "install cert-manager")
    await expose(team, ingress={})
    await team.until_ready()
    await expose(team, gateway=GATEWAY)
    await team.until_stuck("KindNotServed")
    assert await team.get(kinds.INGRESS, "demo-api-server"), "what is there stays until it can be replaced"
    await asyncio.to_thread(define, team.site.cluster)
    await team.until_ready(seconds=60)
    route = await team.existing(kinds.HTTP_ROUTE, "demo-api-server")
    assert (route["spec"]["hostnames"], route["spec"]["parentRefs"][0]["name"]) == ([host_of(team)], "public")
    await eventually(lambda: gone(team, kinds.INGRESS, "demo-api-server"))
    await asyncio.to_thread(undefine, team.site.cluster)
    await team.until_stuck("KindNotServed", seconds=90)


@pytest.mark.usefixtures("definitions")
async def test_routes_and_requests_are_put_right(team: Team) -> None:
    await expose(team, ingress={"tls": {"issuerRef": {"kind": "Issuer", "name": "ca"}}})
    await team.put_environment()
    await team.until_ready(seconds=60)
    certificate = await team.existing(kinds.CERTIFICATE, "demo-tls")
    assert certificate["spec"]["issuerRef"] == {"group": "cert-manager.io", "kind": "Issuer", "name": "ca"}
    await eventually(lambda: issued_by(team))
    for kind, name, change in (
        (kinds.CERTIFICATE, "demo-tls", {"spec": {"dnsNames": ["thief.example.com"]}}),
        (kinds.HTTP_ROUTE, "demo-api-server", {"spec": {"hostnames": ["thief.example.com"]}}),
    ):
        if kind == kinds.HTTP_ROUTE:
            await expose(team, gateway=GATEWAY)
            await eventually(lambda kind=kind, name=name: team.existing(kind, name))  # type: ignore[misc]
            await team.until_ready()
        before = await team.existing(kind, name)
        await team.kube.patch(team.ref(kind, name), change)

        async def repaired(kind: Kind = kind, name: str = name, before: Json = before) -> bool:
            return bool((await team.existing(kind, name))["spec"] == before["spec"])

        await eventually(repaired)
        await team.kube.delete(team.ref(kind, name))
        await eventually(lambda kind=kind, name=name: team.existing(kind, name))  # type: ignore[misc]
    await team.kube.delete(team.environment())
    await eventually(lambda: gone(team, kinds.HTTP_ROUTE, "demo-api-server"))


async def issued_by(team: Team) -> bool:
    """Whether the condition says whom to ask for the certificate."""
    condition = await team.condition("CertificateValid")
    assert_says(condition["message"], "'demo-tls'", "kubectl describe certificate demo-tls")
    return True
