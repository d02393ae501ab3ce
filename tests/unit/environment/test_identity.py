"""Who may log in: the layers of roles, what an environment may not give, and whose tokens are whose."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.identity import Role, apart
from airfield.api.placeholders import fill
from airfield.environment.identity import Identity
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective, Unresolved, resolve
from airfield.environment.secrets import references
from airfield.environment.template.sandbox import render_values
from airfield.environment.values import context
from builders import Json, blueprint, environment, tenant

ISSUER = "https://login.example.com/realms/company"
OIDC = {"issuer": ISSUER, "clientId": "airfield:{namespace}/{name}"}
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBETCBuKADAgECAgEBMAoGCCqGSM49BAMCMA0xCzAJBgNVBAMMAmNhMB4XDTI2
-----END CERTIFICATE-----
"""


def roles(**given: str) -> list[Json]:
    return [{"group": group, "role": role} for group, role in given.items()]


def resolved(
    of_class: Json | None = None, of_tenant: Json | None = None, own: Json | None = None, **spec: object
) -> Effective:
    wanted = environment(**({"identity": own} if own is not None else {}), **spec)
    return resolve(wanted, tenant(identity=of_tenant or {}), blueprint(identity={"oidc": OIDC, **(of_class or {})}))


def identity(of_class: Json | None = None, of_tenant: Json | None = None, own: Json | None = None) -> Identity:
    found = resolved(of_class, of_tenant, own).identity
    assert found is not None
    return found


def refusals(
    of_class: Json | None = None, of_tenant: Json | None = None, own: Json | None = None, **spec: object
) -> list[tuple[Reason, str]]:
    with pytest.raises(Unresolved) as error:
        resolved(of_class, of_tenant, own, **spec)
    return [(problem.reason, problem.message) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("of_class", "of_tenant", "own", "expected"),
    [
        ({}, {}, {}, {}),
        (roles(a="Viewer"), [], [], {"a": ("Viewer", "class standard")}),
        (roles(a="Viewer"), roles(a="Op"), [], {"a": ("Op", "tenant team")}),
        (roles(a="Viewer"), roles(a="Op"), roles(a="User"), {"a": ("User", "environment")}),
        (roles(a="Op"), [], roles(a="Viewer"), {"a": ("Viewer", "environment")}),
        (roles(a="Admin"), [], roles(b="Op"), {"a": ("Admin", "class standard"), "b": ("Op", "environment")}),
        (roles(**{"{tenant}-owners": "Op"}), [], [], {"team-owners": ("Op", "class standard")}),
        # The same group, however a layer writes it.
        (
            roles(**{"{tenant}-owners": "Op"}),
            roles(**{"team-owners": "Viewer"}),
            [],
            {"team-owners": ("Viewer", "tenant team")},
        ),
        ([], roles(**{"{namespace}.{name}.{stage}": "User"}), [], {"team-a.demo.dev": ("User", "tenant team")}),
    ],
)
def test_the_nearest_layer_says_what_a_group_has(
    of_class: list[Json], of_tenant: list[Json], own: list[Json], expected: dict[str, tuple[str, str]]
) -> None:
    layers = [{"roles": given} if given else {} for given in (of_class, of_tenant, own)]
    found = resolved(*layers)
    assert found.identity is not None
    origins = {group: found.origins[f"identity.roles[{group}]"] for group in found.identity.roles}
    assert {group: (role.value, origins[group]) for group, role in found.identity.roles.items()} == expected


@pytest.mark.parametrize(
    ("highest", "given", "own", "says"),
    [
        ("Op", [], roles(a="Admin"), "an environment may give no higher role than Op, not Admin"),
        ("Viewer", [], roles(a="User"), "an environment may give no higher role than Viewer, not User"),
        ("Op", roles(a="Admin"), roles(a="Viewer"), "has the role Admin from tenant or class"),
        ("Op", roles(**{"{tenant}-a": "Admin"}), roles(**{"team-a": "Op"}), "has the role Admin from tenant or class"),
        ("Viewer", roles(a="Op"), roles(a="Viewer"), "has the role Op from tenant or class"),
    ],
)
def test_an_environment_gives_and_takes_nothing_above_its_bound(
    highest: str, given: list[Json], own: list[Json], says: str
) -> None:
    said: Json = {"roles": given}
    for of_class, of_tenant in ((said, {}), ({}, said)):
        ((reason, message),) = refusals({**of_class, "highestRole": highest}, of_tenant, {"roles": own})
        assert reason is Reason.IDENTITY_REFUSED
        assert says in message
        assert "(set by environment)" in message


def test_class_and_tenant_are_the_platform_teams_and_have_no_bound() -> None:
    found = identity({"roles": roles(a="Admin"), "highestRole": "Viewer"}, {"roles": roles(b="Admin", a="Op")})
    assert found.roles == {"a": Role.OP, "b": Role.ADMIN}


def test_without_a_provider_an_environment_has_nothing_to_say() -> None:
    with pytest.raises(Unresolved, match="class 'standard' has no OpenID Connect provider"):
        resolve(
            environment(identity={"roles": roles(a="Viewer")}), tenant(), blueprint(identity={"roles": roles(a="Op")})
        )
    assert resolve(environment(), tenant(identity={"roles": roles(a="Op")}), blueprint()).identity is None


@pytest.mark.parametrize(
    ("client", "audience", "expected"),
    [
        ("airfield:{namespace}/{name}", None, "airfield:team-a/demo"),
        ("airfield", None, ""),
        ("airfield-{namespace}-{name}", None, ""),  # team-a/b-c and team-a-b/c would be one
        ("{namespace}{name}", None, ""),
        ("airfield:{namespace}", None, ""),
        ("airfield", "api.{namespace}.{name}", "api.team-a.demo"),
    ],
)
def test_only_tokens_for_one_environment_are_taken(client: str, audience: str | None, expected: str) -> None:
    oidc = {**OIDC, "clientId": client, **({"audience": audience} if audience else {})}
    found = identity({"oidc": oidc})
    assert found.audience == expected
    assert found.client_id == fill(client, {"namespace": "team-a", "name": "demo"})


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
PATTERNS = st.lists(
    st.sampled_from(["{namespace}", "{name}", "{tenant}", "-", "/", ".", "a", "b-", ":", "_"]), max_size=8
).map("".join)


@given(PATTERNS, NAMES, NAMES, NAMES, NAMES)
def test_what_tells_apart_does(pattern: str, namespace: str, name: str, other_namespace: str, other_name: str) -> None:
    if not apart(pattern) or (namespace, name) == (other_namespace, other_name):
        return
    one = fill(pattern, {"tenant": "a", "namespace": namespace, "name": name})
    assert one != fill(pattern, {"tenant": "a", "namespace": other_namespace, "name": other_name})


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert fill("{name}-{stage}", {"name": "{stage}", "stage": "dev"}) == "{stage}-dev"


@pytest.mark.parametrize(
    ("of_class", "own", "spec", "reason", "says"),
    [
        ({"oidc": {**OIDC, "caBundle": CERTIFICATE}}, {}, {}, Reason.IDENTITY_REFUSED, "not a list of certificates"),
        ({}, {}, {"config": {"fab": {"session_max_lifetime_minutes": "0"}}}, Reason.RESERVED_SETTING, "for the class"),
        ({}, {}, {"config": {"api_auth": {"jwt_expiration_time": "9"}}}, Reason.RESERVED_SETTING, "for the class"),
        (
            {},
            {},
            {"config": {"fab": {"auth_role_public": "Admin"}}},
            Reason.RESERVED_SETTING,
            "belongs to the operator",
        ),
    ],
)
def test_what_is_refused(of_class: Json, own: Json, spec: Json, reason: Reason, says: str) -> None:
    ((found, message),) = refusals(of_class, {}, own, **spec)
    assert found is reason
    assert says in message


def test_what_grows_too_long_is_refused() -> None:
    long, pattern = environment("a" * 40), "{name}" * 40
    for said in ({"oidc": OIDC, "roles": roles(**{pattern: "Op"})}, {"oidc": {**OIDC, "clientId": pattern}}):
        with pytest.raises(Unresolved, match="more than 255 characters"):
            resolve(long, tenant(), blueprint(identity=said))


def test_the_clients_secret_is_one_of_the_environments_own() -> None:
    found = resolved(own={"clientSecretRef": {"name": "oidc", "key": "secret"}})
    assert [(each.field, each.secret, each.needs) for each in references(found)] == [
        ("identity.clientSecretRef", "oidc", (("secret",),))
    ]


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "identity.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^    # in an (\w+)\n((?:    .*\n)+)", text, flags=re.MULTILINE)
    said = {kind: yaml.safe_load(block)["spec"]["identity"] for kind, block in blocks}
    of_class, of_tenant, own = (said[f"Airflow{kind}"] for kind in ("EnvironmentClass", "Tenant", "Environment"))
    wanted = environment("demo", "team-a-dev", identity=own)
    found = resolve(wanted, tenant("team-a", ["team-a-dev"], identity=of_tenant), blueprint(identity=of_class)).identity
    assert found is not None
    assert (found.client_id, found.audience) == ("airfield:team-a-dev/demo",) * 2
    assert found.roles == {
        "airflow-platform": Role.ADMIN,
        "airflow-team-a-owners": Role.OP,
        "airflow-team-a": Role.VIEWER,
        "team-a-oncall": Role.OP,
        "auditors": Role.VIEWER,
    }


def test_values_carry_it_as_data() -> None:
    hostile = "'; import os # \\ $(id) $HOME \" - &a *a !!python/object:x"
    found = resolved({"roles": roles(g="Op")}, own={"roles": [{"group": hostile, "role": "Viewer"}]})
    values = render_values(None, context(found, {}, operator_namespace="airfield-system"))["identity"]
    assert values["roles"] == {"g": "Op", hostile: "Viewer"}
    assert values["issuer"] == ISSUER
    assert json.dumps(values)
    without = resolve(environment(), tenant(), blueprint())
    assert "identity" not in render_values(None, context(without, {}, operator_namespace="airfield-system"))
