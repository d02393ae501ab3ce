"""Host names and who has them, where certificates are, and every way in which it is refused."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.exposure import IssuerKind
from airfield.api.placeholders import fill
from airfield.environment.checks import Problem
from airfield.environment.exposure import Exposed, wanted_host
from airfield.environment.outcome import Stall
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Unresolved, resolve
from airfield.environment.secrets import check_names
from airfield.environment.values import context
from builders import Json, blueprint, effective, environment, tenant

TEMPLATE = "{name}-{namespace}.example.com"
GATEWAY = {"name": "public", "namespace": "gateways", "sectionName": "https"}
ISSUER = {"kind": "Issuer", "name": "ca"}


def exposed(own: Json | None = None, **exposure: object) -> Exposed:
    given_class = {"hostTemplate": TEMPLATE, **({} if "gateway" in exposure else {"ingress": {}}), **exposure}
    wanted = environment(**({"exposure": own} if own is not None else {}))
    found = effective(wanted, blueprint(exposure=given_class)).exposed
    assert found is not None
    return found


def problems(own: Json | None, exposure: Json | None, name: str = "demo", **spec: object) -> list[Problem]:
    wanted = environment(name, **({"exposure": own} if own is not None else {}), **spec)
    with pytest.raises(Unresolved) as error:
        resolve(wanted, tenant(), blueprint(**({"exposure": exposure} if exposure else {})))
    return list(error.value.problems)


@pytest.mark.parametrize(
    ("template", "host"),
    [
        (TEMPLATE, "demo-team-a.example.com"),
        ("{name}.{stage}.{tenant}.example.com", "demo.dev.team.example.com"),
        ("{name}{name}", "demodemo"),
    ],
)
def test_host_by_the_class(template: str, host: str) -> None:
    assert exposed(hostTemplate=template).host == host
    assert exposed(hostTemplate=template).url == f"https://{host}"


def test_nobody_is_exposed_unless_the_class_says_so() -> None:
    assert effective().exposed is None


def test_own_host() -> None:
    found = exposed({"host": "team.example.org"}, hostSuffixes=["example.com", "example.org"])
    assert found.host == "team.example.org"


@pytest.mark.parametrize(
    ("own", "exposure", "secret", "issuer"),
    [
        (None, {}, "", None),
        (None, {"gateway": GATEWAY}, "", None),
        (None, {"ingress": {"tls": {"secretName": "wildcard"}}}, "wildcard", None),
        (None, {"ingress": {"tls": {"secretName": "{tenant}-{stage}"}}}, "team-dev", None),
        (None, {"ingress": {"tls": {"issuerRef": ISSUER}}}, "demo-tls", (IssuerKind.ISSUER, "ca")),
        (None, {"ingress": {"tls": {"issuerRef": {"name": "ca"}}}}, "demo-tls", (IssuerKind.CLUSTER_ISSUER, "ca")),
        ({"secretName": "mine"}, {"ingress": {"tls": {"issuerRef": ISSUER}}}, "mine", None),
        ({"secretName": "mine"}, {"ingress": {"tls": {"secretName": "wildcard"}}}, "mine", None),
        ({"secretName": "mine"}, {}, "mine", None),
    ],
)
def test_where_the_certificate_is(own: Json | None, exposure: Json, secret: str, issuer: object) -> None:
    found = exposed(own, **exposure)
    assert found.secret == secret
    assert (found.issuer and (found.issuer.kind, found.issuer.name)) == issuer


def test_warning() -> None:
    assert exposed().warning_days == 14
    assert exposed(expiryWarningDays=3).warning_days == 3


LONG = "e" * 40
REFUSED: tuple[tuple[Json | None, Json | None, Reason, str], ...] = (
    ({}, None, Reason.EXPOSURE_REFUSED, "spec.exposure: class 'standard' exposes no environments"),
    (
        {"host": "a.example.org"},
        {"hostTemplate": TEMPLATE, "ingress": {}, "hostSuffixes": ["example.com"]},
        Reason.EXPOSURE_REFUSED,
        "spec.exposure.host: 'a.example.org' is below none of the domains that class 'standard' allows (example.com)",
    ),
    (
        {"host": "anexample.com"},
        {"hostTemplate": TEMPLATE, "ingress": {}, "hostSuffixes": ["example.com"]},
        Reason.EXPOSURE_REFUSED,
        "is below none",
    ),
    ({"host": "a.b"}, {"hostTemplate": TEMPLATE, "ingress": {}}, Reason.EXPOSURE_REFUSED, "allows (none)"),
    (
        {"secretName": "mine"},
        {"hostTemplate": TEMPLATE, "gateway": GATEWAY},
        Reason.EXPOSURE_REFUSED,
        "spec.exposure.secretName: the Gateway of class 'standard' has the certificate",
    ),
    (
        None,
        {"hostTemplate": "{name}-{name}-{name}.example.com", "ingress": {}},
        Reason.EXPOSURE_REFUSED,
        f"exposure.hostTemplate of class 'standard': '{LONG}-{LONG}-{LONG}.example.com' is no host name:",
    ),
    (
        None,
        {"hostTemplate": ".".join(["{name}"] * 7), "ingress": {}},
        Reason.EXPOSURE_REFUSED,
        "it has more than 253 characters; choose shorter names",
    ),
    (
        None,
        {"hostTemplate": TEMPLATE, "ingress": {"tls": {"secretName": "-".join(["{name}"] * 7)}}},
        Reason.EXPOSURE_REFUSED,
        "exposure.ingress.tls.secretName of class 'standard'",
    ),
)


@pytest.mark.parametrize(("own", "exposure", "reason", "words"), REFUSED)
def test_refused(own: Json | None, exposure: Json | None, reason: Reason, words: str) -> None:
    found = problems(own, exposure, LONG)
    assert [problem.reason for problem in found] == [reason]
    assert words in found[0].message


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"config": {"api": {"base_url": "https://x"}}}, "config.api.base_url (set by environment)"),
        ({"config": {"webserver": {"base_url": "https://x"}}}, "config.webserver.base_url (set by environment)"),
        ({"config": {"api": {"base_url_cmd": "x"}}}, "config.api.base_url_cmd (set by environment)"),
        (
            {"env": [{"name": "AIRFLOW__API__BASE_URL", "value": "x"}]},
            "env.AIRFLOW__API__BASE_URL (set by environment)",
        ),
        ({"env": [{"name": "AIRFLOW__WEBSERVER__BASE_URL_SECRET", "value": "x"}]}, "env.AIRFLOW__WEBSERVER"),
    ],
)
def test_who_is_exposed_has_no_other_base_url(spec: Json, words: str) -> None:
    (problem,) = problems(None, {"hostTemplate": TEMPLATE, "ingress": {}}, **spec)
    assert problem.reason is Reason.RESERVED_SETTING
    assert words in problem.message
    assert effective(environment(**spec)).exposed is None  # whoever is not may say what it likes


def test_a_certificate_is_in_no_secret_of_the_operators() -> None:
    of_class = blueprint(exposure={"hostTemplate": TEMPLATE, "ingress": {}})
    outcome = check_names(effective(environment(exposure={"secretName": "demo-fernet"}), of_class))
    assert isinstance(outcome, Stall)
    assert "'demo-fernet', of exposure" in outcome.message


def test_values() -> None:
    def values(**exposure: object) -> object:
        of_class = blueprint(exposure={"hostTemplate": TEMPLATE, **exposure})
        return context(effective(of_class=of_class), {}, operator_namespace="a")["exposure"]

    host = {"host": "demo-team-a.example.com"}
    assert context(effective(), {}, operator_namespace="a")["exposure"] == {}
    assert values(gateway=GATEWAY) == {**host, "gateway": GATEWAY}
    assert values(ingress={}) == {**host, "ingress": {"secretName": "", "issuer": {}}}
    given_ingress = {"className": "public", "annotations": {"a": "b"}, "tls": {"issuerRef": {"name": "ca"}}}
    assert values(ingress=given_ingress) == {
        **host,
        "ingress": {
            "className": "public",
            "annotations": {"a": "b"},
            "secretName": "demo-tls",
            "issuer": {"kind": "ClusterIssuer", "name": "ca"},
        },
    }


@pytest.mark.parametrize(
    ("own", "exposure"),
    [
        (None, None),
        ({"host": "a.example.com"}, None),
        (None, {"hostTemplate": TEMPLATE}),
        (None, {"hostTemplate": "{name}.{tenant}.{stage}"}),
        ({"secretName": "mine"}, {"hostTemplate": TEMPLATE}),
        ({"host": "a.example.com"}, {"hostTemplate": TEMPLATE, "hostSuffixes": ["example.com"]}),
    ],
)
def test_what_is_wanted_is_told_without_resolving(own: Json | None, exposure: Json | None) -> None:
    wanted = environment(**({"exposure": own} if own else {}))
    of_class = blueprint(**({"exposure": {**exposure, "ingress": {}}} if exposure else {}))
    bodies = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in (wanted, of_class)]
    expected = exposed(own, **exposure).host if exposure else None
    assert wanted_host(bodies[0], "team", bodies[1]) == expected


@given(st.dictionaries(st.sampled_from(["name", "namespace", "tenant", "stage"]), st.text(max_size=5)))
def test_filling_in_never_fails(values: dict[str, str]) -> None:
    assert fill("x.example.com", values) == "x.example.com"
    assert "{name}" not in fill("{name}.{stage}", {**values, "name": "a", "stage": "b"})


def test_each_tenant_has_names_of_its_own_below_a_suffix() -> None:
    below: Json = {"hostTemplate": "{name}.example.com", "hostSuffixes": ["{tenant}.data.example.com"]}
    assert exposed({"host": "a.team.data.example.com"}, **below).host == "a.team.data.example.com"
    with pytest.raises(Unresolved, match=r"allows \(team\.data\.example\.com\)"):
        exposed({"host": "a.other.data.example.com"}, **below)


def test_the_examples_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "exposure.md").read_text(encoding="utf-8")
    specs = [yaml.safe_load(block)["spec"] for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)]
    by_ingress, own, by_gateway = specs
    found = effective(environment(), blueprint(**by_ingress)).exposed
    assert found is not None
    assert (found.url, found.secret) == ("https://demo.team-a.airflow.example.com", "demo-tls")
    found = effective(environment(**own), blueprint(**by_ingress), tenant("team-a")).exposed
    assert found is not None
    assert (found.host, found.secret, found.issuer) == ("forecasts.team-a.data.example.com", "forecasts-tls", None)
    routed = effective(environment(), blueprint(**by_gateway))
    assert routed.exposed is not None
    assert routed.exposed.gateway is not None
    assert routed.network.ingress_from == (routed.exposed.gateway.namespace,)
