"""What a user, a class or a tenant can get wrong: it is said where and what to do, and mending it is enough."""

import asyncio
from configparser import ConfigParser
from dataclasses import dataclass, field
from typing import Any

import pytest

from airfield.environment.template.sandbox import BUNDLED_TEMPLATE
from airfield.kube import kinds
from airfield.kube.kinds import Ref
from operated_cluster import VERSION, Team, eventually

pytestmark = pytest.mark.apiserver

HANGING = "{{ 9 ** (9 ** 9) }}"
GIT = {"url": "https://git.example.com/dags.git", "ref": "main"}


@dataclass(frozen=True)
class Mistake:
    """What is wrong with an environment, its class or its tenant; taking it away again is the cure."""

    name: str
    reason: str
    says: tuple[str, ...]
    environment: dict[str, Any] = field(default_factory=dict)
    blueprint: dict[str, Any] = field(default_factory=dict)
    tenant: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


MEND = "must mend"
"""What is said to be done about what only the platform team can mend."""
MISTAKES = (
    Mistake(
        "class",
        "ClassNotFound",
        ("spec.className", "'nowhere'", "kubectl get afclass"),
        environment={"className": "nowhere"},
    ),
    Mistake(
        "class-of-others", "ClassNotAllowed", ("spec.className", "ask the platform team"), tenant={"allowedClasses": []}
    ),
    Mistake(
        "version", "VersionNotFound", ("spec.version", "'9.9.9'", f"choose one of: {VERSION}"), {"version": "9.9.9"}
    ),
    Mistake("size", "SizeNotFound", ("spec.size", "'enormous'", "it has: none"), {"size": "enormous"}),
    Mistake(
        "database-server",
        "ServerNotFound",
        ("spec.database.server.name", "'other'", "it has: main"),
        {"database": {"server": {"name": "other"}}},
    ),
    Mistake("no-tenant", "NoTenant", ("namespace", "spec.namespaces"), tenant={"namespaces": []}),
    # The API server cannot look at the case of a map's keys, so this passes admission.
    Mistake(
        "reserved-config",
        "InvalidSpec",
        ("config.core.FERNET_KEY", "set by environment", "lower-case"),
        {"config": {"core": {"FERNET_KEY": "x"}}},
    ),
    Mistake(
        "reserved-config-of-class",
        "InvalidSpec",
        ("config.Core.executor", "set by class", "lower-case"),
        blueprint={"defaults": {"version": VERSION, "config": {"Core": {"executor": "x"}}}},
    ),
    Mistake(
        "label",
        "LabelMissing",
        ("spec.labels.contact", "requires it: one of jo, kim"),
        blueprint={"requiredLabels": [{"key": "contact", "values": ["jo", "kim"]}]},
    ),
    Mistake(
        "label-of-the-tenant",
        "LabelRefused",
        ("spec.labels.contact", "says 'kim', not 'jo'", "remove it"),
        {"labels": {"contact": "jo"}},
        tenant={"labels": {"contact": "kim"}},
    ),
    Mistake(
        "policy",
        "PolicyViolated",
        ("spec.executor", "set by class", "for stage 'dev' allows KubernetesExecutor, not LocalExecutor"),
        blueprint={"policies": [{"stage": "dev", "executors": ["KubernetesExecutor"]}]},
    ),
    Mistake(
        "ceiling",
        "CeilingExceeded",
        ("components.apiServer.replicas", "3 is above the ceiling", "2"),
        {"components": {"apiServer": {"replicas": 3}}},
        {"ceilings": {"replicas": 2}},
    ),
    Mistake(
        "template-raises",
        "TemplateFailed",
        ("spec.valuesTemplate, line 2", "'nobody' is undefined", MEND),
        blueprint={"valuesTemplate": "a: 1\nb: {{ nobody.name }}\n"},
    ),
    Mistake(
        "template-is-no-yaml",
        "TemplateFailed",
        ("spec.valuesTemplate", "line 1", MEND),
        blueprint={"valuesTemplate": "a: [1, 2\nb: {"},
    ),
    Mistake(
        "template-yields-a-list",
        "TemplateFailed",
        ("spec.valuesTemplate", "one mapping of chart values, not list", MEND),
        blueprint={"valuesTemplate": "- a\n- b\n"},
    ),
    Mistake(
        "template-hangs",
        "TemplateFailed",
        ("spec.valuesTemplate", "takes longer than 5 s", "make its loops and numbers smaller"),
        blueprint={"valuesTemplate": HANGING},
    ),
    Mistake(
        "template-takes-all-memory",
        "TemplateFailed",
        ("spec.valuesTemplate", "needs more than 128 MiB of memory", "make its loops and texts smaller"),
        blueprint={"valuesTemplate": "{{ 'x' * 10 ** 10 }}"},
    ),
    Mistake(
        "template-yields-unknown-values",
        "ChartFailed",
        ("airflow", "nonsense", MEND),
        blueprint={"valuesTemplate": "nonsense: true\n"},
    ),
    Mistake(
        "chart-renders-a-cluster-role",
        "NotAdmitted",
        ("ClusterRole 'mightier'", "not allowed in an environment", MEND),
        tenant={"labels": {"violation": "kind"}},
    ),
    Mistake(
        "chart-renders-elsewhere",
        "NotAdmitted",
        ("ConfigMap 'stray'", "namespace 'kube-system'", "only"),
        tenant={"labels": {"violation": "namespace"}},
    ),
    Mistake("chart-fails", "ChartFailed", ("this chart is broken",), tenant={"labels": {"violation": "broken"}}),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
async def test_mistake_from_the_start(team: Team, mistake: Mistake) -> None:
    await asyncio.gather(team.put_class(**mistake.blueprint), team.put_tenant(**mistake.tenant))
    await team.put_environment(**mistake.environment)
    condition = await team.until_stuck(mistake.reason, *mistake.says)
    assert (await team.condition("Stalled"))["message"] == condition["message"]
    assert not [ref for ref in await team.objects() if ref.kind != "Secret"], "nothing is made of what cannot be"

    for spec, keys in ((team.class_spec, mistake.blueprint), (team.tenant_spec, mistake.tenant)):
        for key in keys:
            del spec[key]
    await asyncio.gather(team.put_class(), team.put_tenant())
    if mistake.environment:
        await team.put_environment()
    await team.until_ready()


async def test_mistake_in_a_class_leaves_what_runs_alone(team: Team) -> None:
    await team.put_environment()
    await team.until_ready()
    # Generated Secrets are rendered by no template: their labels follow the tenant's all the same.
    versions = await team.settled_versions()
    before = {ref: versions[ref] for ref in versions if "Airflow" not in ref.kind and ref.kind != "Secret"}
    keys = await team.secret("demo-fernet")
    await team.put_class(valuesTemplate="{{ nobody }}")
    await team.until_stuck("TemplateFailed", "nobody")
    await team.put_tenant(labels={"violation": "kind"})
    await team.put_class(valuesTemplate="nonsense: true")
    await team.until_stuck("ChartFailed")
    after = await team.versions()
    assert {ref: after.get(ref) for ref in before} == before
    assert await team.secret("demo-fernet") == keys
    await team.put_tenant(labels={})
    del team.class_spec["valuesTemplate"]
    await team.put_class()
    await team.until_ready()


async def test_a_template_that_hangs_leaves_other_classes_alone(team: Team) -> None:
    other = f"{team.name}-other"
    await team.put_tenant(allowedClasses=[team.name, other])
    await team.put_class()
    blueprint = await team.kube.get(Ref("airfield.dev/v1alpha1", "AirflowEnvironmentClass", "", team.name))
    assert blueprint is not None
    await team.put_resource("AirflowEnvironmentClass", other, {**blueprint["spec"], "valuesTemplate": BUNDLED_TEMPLATE})
    await team.put_class(valuesTemplate=HANGING)
    bad = [f"bad-{number}" for number in range(5)]
    await asyncio.gather(*map(team.put_environment, bad), team.put_environment("good", className=other))
    await team.until_ready("good")
    for name in bad:
        await team.until_stuck("TemplateFailed", "takes longer than 5 s", name=name)
    await team.put_class(valuesTemplate=BUNDLED_TEMPLATE)
    await team.put_environment("good", className=other, config={"core": {"parallelism": "7"}})
    await team.until_ready("good", *bad)


async def test_a_class_and_a_tenant_that_pass_admission_and_cannot_be_read(team: Team) -> None:
    """No schema can look at more of a map's keys than their length."""
    await team.put_environment()
    await team.until_ready()
    labels = {"$(id)": "x"}
    workers = {"components": {"workers": {"nodeSelector": labels}}}
    await team.put_class(defaults={"version": VERSION, "executor": "LocalExecutor", **workers})
    await team.until_stuck("ClassInvalid", "nodeSelector")
    await eventually(lambda: team.says_of_itself("AirflowEnvironmentClass", "False", "InvalidSpec", "nodeSelector"))
    await team.put_class(defaults={"version": VERSION, "executor": "LocalExecutor"})
    await team.until_ready()
    await eventually(lambda: team.says_of_itself("AirflowEnvironmentClass", "True", "Succeeded"))

    await team.put_tenant(labels=labels)
    await eventually(lambda: team.says_of_itself("AirflowTenant", "False", "InvalidSpec", "labels"))
    await team.put_tenant(labels={})
    await team.until_ready()
    await eventually(lambda: team.says_of_itself("AirflowTenant", "True", "Succeeded"))


async def test_a_namespace_for_other_stages(team: Team) -> None:
    mine, other = {"name": team.namespace}, {"name": f"{team.namespace}-live", "stages": ["prod"]}
    await team.put_tenant(namespaces=[{**mine, "stages": ["dev"]}, other])
    await team.put_environment(stage="prod")
    await team.until_stuck("StageNotAllowed", "spec.stage", "is for dev, not for 'prod'", f"in {other['name']}")
    assert not await team.objects()
    await team.put_tenant(namespaces=[{**mine, "stages": ["dev", "prod"]}, other])
    await team.until_ready()


async def test_what_the_api_server_refuses(team: Team) -> None:
    two = [{"name": "main", "git": GIT}, {"name": "main", "image": {"path": "/opt/airflow/dags"}}]
    await team.refused("spec.dags.bundles[1]", "Duplicate value", "main", dags={"bundles": two})
    await team.refused("[core]", "fernet_key", "remove what is set", config={"core": {"fernet_key": "x"}})
    environment = [{"name": "AIRFLOW__CORE__FERNET_KEY", "value": "x"}]
    await team.refused("spec.env[0].name", "belongs to the operator", env=environment)
    await team.refused("metadata.name", "at most 40 characters", name="a" * 41)
    await team.put_environment()
    await team.until_ready()


async def test_credentials_that_do_not_exist_yet(team: Team) -> None:
    git = GIT | {"credentialsSecret": {"name": "deploy-token"}}
    await team.put_environment(dags={"bundles": [{"name": "main", "git": git}]})
    where = ("dags.bundles[main].git.credentialsSecret", "'deploy-token'")
    await team.until_stuck("SecretNotFound", *where, f"namespace {team.namespace!r}", "create it")
    await team.put_secret("deploy-token", {"username": "robot"})
    await team.until_stuck("SecretNotFound", *where, "lacks the key", "password")
    await team.put_secret("deploy-token", {"username": "robot", "password": "token"})
    # Where no dag-processor runs, that is as far as a bundle gets.
    await team.until_stuck("Starting", "dags.bundles[main].git", GIT["url"], "first time")
    with team.site.in_database(await team.secret("demo-database")) as connection:
        connection.execute("INSERT INTO dag_bundle VALUES ('main', true, now())")
    await team.until_ready()


async def test_names_as_long_as_they_can_be(team: Team) -> None:
    name = "a" + "b" * 38 + "c"
    team.namespace = f"{team.name}-".ljust(62, "n") + "z"
    team.name = team.namespace  # of the tenant and of the class
    size, server, bundle = "s" * 63, "d" * 63, "b" * 40
    await team.put_namespace()
    await team.put_class(
        sizes=[{"name": size, "defaults": {}}], databaseServers=[team.server(name=server)], ceilings={"replicas": 2}
    )
    await team.put_tenant()
    await team.put_environment(
        name,
        size=size,
        executor="KubernetesExecutor",
        database={"server": {"name": server}},
        dags={"bundles": [{"name": bundle, "image": {"path": "/opt/airflow/dags"}}]},
        components={"apiServer": {"replicas": 2}},
    )
    await team.until_ready(name)
    assert {len(team.namespace), len(team.name), len(name)} == {63, 40}
    assert len(await team.objects(name)) > 20


NASTY = (
    "plain",
    "{{ environment.name }}",
    "{% for x in range(9) %}x{% endfor %}",
    "a: [1, 2]\nb: {c: d}",
    "- x\n---\n...",
    "!!python/object/apply:os.system ['id']",
    "&anchor *alias <<: !tag",
    "`id`; rm -rf / | cat && echo '\"' \\",
    "no",
    "0x1F",
    "1e3",
    "~",
    "",
    "two  spaces",
    "ünïcödé 🛫",
    "# not a comment",
    "%(section)s %s %%",
    "{{`{{ .Release.Name }}`}}",
)


async def test_strings_stay_strings(team: Team) -> None:
    """Whatever a user writes reaches airflow.cfg and the pods as it was written."""
    values = dict(enumerate(NASTY))
    dollar = "$(HOME) $HOME ${HOME} $$"
    await team.put_tenant(labels={"cost-centre": "0815", "on": "yes", "empty": ""})
    await team.put_environment(
        config={"smtp": {f"option_{number}": value for number, value in values.items()}},
        env=[
            *({"name": f"NASTY_{number}", "value": value} for number, value in values.items()),
            {"name": "DOLLAR", "value": dollar},
        ],
    )
    await team.until_ready()

    deployment = await team.existing(kinds.DEPLOYMENT, "demo-scheduler")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["cost-centre"] == "0815"
    assert labels["on"] == "yes"
    assert labels["empty"] == ""
    environment = {
        e["name"]: e.get("value", "") for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert {number: environment[f"NASTY_{number}"] for number in values} == values
    assert environment["DOLLAR"] == dollar.replace("$", "$$"), "the kubelet makes one of two"

    config = (await team.existing(kinds.CONFIG_MAP, "demo-config"))["data"]["airflow.cfg"]
    assert read_as_airflow_does(config) == {f"option_{number}": value for number, value in values.items()}


def read_as_airflow_does(text: str) -> dict[str, str]:
    parser = ConfigParser(comment_prefixes=("#", ";"))
    parser.read_string(text)
    return dict(parser["smtp"])
