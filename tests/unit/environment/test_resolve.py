"""Resolving: what comes from which layer, and every way in which it fails, with the words that a person reads."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.api.dags import DagBundle
from airfield.api.environment import (
    AirflowEnvironment,
    AirflowEnvironmentStatus,
    DatabaseStatus,
    DeletionPolicy,
    Executor,
)
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.environment.checks import Problem
from airfield.environment.reasons import Reason
from airfield.environment.resolve import EMBEDDED, POSTGRES_IMAGE, Unresolved, resolve, validation_messages
from builders import CATALOG, SERVER, Json, blueprint, effective, environment, git_bundle, tenant


def problems(
    wanted: AirflowEnvironment,
    of_class: AirflowEnvironmentClass | None = None,
    of_tenant: AirflowTenant | None = None,
) -> tuple[Problem, ...]:
    with pytest.raises(Unresolved) as error:
        resolve(wanted, of_tenant or tenant(), of_class or blueprint())
    assert str(error.value) == "; ".join(problem.message for problem in error.value.problems)
    return error.value.problems


def resources(**amounts: Json) -> Json:
    return {"components": {"scheduler": {"resources": amounts}}}


SMALL = {
    "components": {
        name: {"resources": {"limits": {"memory": "400Mi"}}}
        for name in ("apiServer", "scheduler", "dagProcessor", "triggerer", "workers")
    }
}
CEILINGS = {"ceilings": {"cpu": "2", "memory": "4Gi", "storage": "10Gi", "replicas": 2}}
PROBLEMS: dict[str, tuple[Json, Json, Reason, tuple[str, ...]]] = {
    # name: (spec of the environment, spec of the class, reason, words of the message)
    "version": (
        {"version": "2.0.0"},
        {},
        Reason.VERSION_NOT_FOUND,
        ("spec.version", "'standard' does not offer '2.0.0'", "choose one of: stable, 3.2.0, 3.3.2"),
    ),
    "no-version": ({"version": None}, {}, Reason.VERSION_NOT_FOUND, ("spec.version", "nothing says", "stable")),
    "size": (
        {"size": "huge"},
        {"sizes": [{"name": "small", "defaults": {}}]},
        Reason.SIZE_NOT_FOUND,
        ("spec.size", "'standard'", "'huge'", "it has: small"),
    ),
    "size-of-none": ({"size": "huge"}, {}, Reason.SIZE_NOT_FOUND, ("it has: none",)),
    "size-of-stage": (
        {},
        {"stages": [{"stage": "dev", "defaults": {"size": "huge"}}]},
        Reason.SIZE_NOT_FOUND,
        ("'huge'",),
    ),
    "server": (
        {"database": {"server": {"name": "other"}}},
        {"databaseServers": [SERVER]},
        Reason.SERVER_NOT_FOUND,
        ("spec.database.server.name", "'other'", "it has: main"),
    ),
    "no-server": (
        {"database": {"server": {}}},
        {},
        Reason.SERVER_NOT_FOUND,
        ("does not have any database server", "it has: none"),
    ),
    "label": (
        {},
        {"requiredLabels": [{"key": "contact", "description": "whom to call"}]},
        Reason.LABEL_MISSING,
        ("spec.labels.contact (whom to call) is missing: class 'standard' requires it",),
    ),
    "label-empty": (
        {"labels": {"contact": ""}},
        {"requiredLabels": [{"key": "contact", "values": ["", "jo"]}]},
        Reason.LABEL_MISSING,
        ("spec.labels.contact is missing: class 'standard' requires it: one of , jo",),
    ),
    "label-value": (
        {"labels": {"personal-data": "perhaps"}},
        {"requiredLabels": [{"key": "personal-data", "values": ["yes", "no"]}]},
        Reason.LABEL_REFUSED,
        ("spec.labels.personal-data: class 'standard' does not allow 'perhaps': one of yes, no",),
    ),
    "option": (
        {"config": {"core": {"executor": "x"}}},
        {},
        Reason.RESERVED_SETTING,
        ("config.core.executor (set by environment)", "belongs to the operator; remove it"),
    ),
    "option-command": ({"config": {"core": {"fernet_key_cmd": "x"}}}, {}, Reason.RESERVED_SETTING, ("fernet_key_cmd",)),
    "option-of-class": (
        {},
        {"defaults": {"config": {"core": {"executor": "x"}}}},
        Reason.RESERVED_SETTING,
        ("config.core.executor (set by class standard)",),
    ),
    "option-of-size": (
        {"size": "small"},
        {"sizes": [{"name": "small", "defaults": {"config": {"core": {"executor": "x"}}}}]},
        Reason.RESERVED_SETTING,
        ("(set by size small)",),
    ),
    "option-of-stage": (
        {},
        {"stages": [{"stage": "dev", "defaults": {"config": {"core": {"executor": "x"}}}}]},
        Reason.RESERVED_SETTING,
        ("(set by stage dev)",),
    ),
    "variable": (
        {"env": [{"name": "AIRFLOW__CORE__EXECUTOR", "value": "x"}]},
        {},
        Reason.RESERVED_SETTING,
        ("env.AIRFLOW__CORE__EXECUTOR (set by environment)", "belongs to the operator; remove it"),
    ),
    "variable-of-class": (
        {},
        {"defaults": {"env": [{"name": "AIRFLOW_CONN_GIT_MAIN", "value": "x"}]}},
        Reason.RESERVED_SETTING,
        ("env.AIRFLOW_CONN_GIT_MAIN (set by class standard)",),
    ),
    "section-upper": ({"config": {"CORE": {"executor": "x"}}}, {}, Reason.INVALID_SPEC, ("config.CORE.executor",)),
    "option-upper": ({"config": {"core": {"Executor": "x"}}}, {}, Reason.INVALID_SPEC, ("lower-case",)),
    "section-newline": ({"config": {"core\n": {"executor": "x"}}}, {}, Reason.INVALID_SPEC, ("lower-case",)),
    "option-newline": ({"config": {"core": {"executor\n": "x"}}}, {}, Reason.INVALID_SPEC, ("lower-case",)),
    "option-injection": ({"config": {"core": {"a = 1\n[api": "x"}}}, {}, Reason.INVALID_SPEC, ("lower-case",)),
    "priority-of-the-cluster": (
        {"components": {"workers": {"priorityClassName": "system-node-critical"}}},
        {},
        Reason.RESERVED_SETTING,
        ("components.workers.priorityClassName (set by environment)", "'system-node-critical'", "another one"),
    ),
    "priority-of-class": (
        {},
        {"defaults": {"components": {"scheduler": {"priorityClassName": "system-cluster-critical"}}}},
        Reason.RESERVED_SETTING,
        ("components.scheduler.priorityClassName (set by class standard)",),
    ),
    "request-above-limit": (
        resources(requests={"cpu": "1500m"}, limits={"cpu": "1"}),
        {},
        Reason.INVALID_SPEC,
        ("components.scheduler.resources", "request for cpu (1500m)", "above the limit (1)"),
    ),
    "cpu": (
        resources(limits={"cpu": "2001m"}),
        CEILINGS,
        Reason.CEILING_EXCEEDED,
        ("components.scheduler.resources.limits.cpu", "2001m", "'standard', 2"),
    ),
    "memory": (
        resources(requests={"memory": "5Gi"}, limits={"memory": "4Gi"}),
        CEILINGS,
        Reason.INVALID_SPEC,
        ("request for memory (5Gi)",),
    ),
    "memory-of-size": (
        {"size": "big"},
        {"sizes": [{"name": "big", "defaults": resources(limits={"memory": "5Gi"})}], **CEILINGS},
        Reason.CEILING_EXCEEDED,
        ("components.scheduler.resources.limits.memory", "5Gi", "4Gi"),
    ),
    "memory-of-database": (
        {"database": {"embedded": {"resources": {"limits": {"memory": "5Gi"}}}}},
        CEILINGS,
        Reason.CEILING_EXCEEDED,
        ("database.embedded.resources.limits.memory: 5Gi",),
    ),
    "replicas": (
        {"components": {"apiServer": {"replicas": 3}}},
        CEILINGS,
        Reason.CEILING_EXCEEDED,
        ("components.apiServer.replicas", "3", "'standard', 2"),
    ),
    "log-volume": (
        {"logs": {"persistentVolume": {"size": "11Gi"}}},
        CEILINGS,
        Reason.CEILING_EXCEEDED,
        ("logs.persistentVolume.size", "11Gi", "10Gi"),
    ),
    "database-volume": (
        {"database": {"embedded": {"size": "11Gi"}}},
        CEILINGS,
        Reason.CEILING_EXCEEDED,
        ("database.embedded.size", "11Gi", "10Gi"),
    ),
    "database-volume-as-bundled": (
        {"database": {"embedded": {}}, "logs": {"persistentVolume": {"size": "1Gi"}}},
        {"defaults": {"version": "stable", "database": {"server": {}}}, "ceilings": {"storage": "4Gi"}},
        Reason.CEILING_EXCEEDED,
        ("database.embedded.size", "5Gi", "4Gi"),
    ),
    "memory-of-database-as-bundled": (
        {"database": {"embedded": {}}},
        {"ceilings": {"memory": "400Mi"}, "defaults": {"version": "stable", **SMALL}},
        Reason.CEILING_EXCEEDED,
        ("database.embedded.resources.limits.memory", "512Mi", "400Mi"),
    ),
    "too-much-in-sum": (
        {"config": {f"b{number}": {"x": "y"} for number in range(20)}},
        {"defaults": {"config": {f"a{number}": {"x": "y"} for number in range(20)}}},
        Reason.INVALID_SPEC,
        ("config: ", "32"),
    ),
}


@pytest.mark.parametrize(("spec", "class_spec", "reason", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_problems(spec: Json, class_spec: Json, reason: Reason, words: tuple[str, ...]) -> None:
    found = problems(environment(**spec), blueprint(**class_spec))
    assert found[0].reason is reason
    for word in words:
        assert word in found[0].message


@pytest.mark.parametrize("name", ["a" * 41, "1a", "a.b", "a\n", "A", ""])
def test_names_that_models_refuse_are_refused_again(name: str) -> None:
    fine = environment()
    odd = fine.model_copy(update={"metadata": fine.metadata.model_copy(update={"name": name})})
    (problem,) = problems(odd)
    assert problem.reason is Reason.INVALID_SPEC
    assert repr(name) in problem.message
    assert "at most 40" in problem.message


def test_no_class() -> None:
    with pytest.raises(Unresolved) as error:
        resolve(environment(), tenant(), None)
    (problem,) = error.value.problems
    assert problem.reason is Reason.CLASS_NOT_FOUND
    assert "spec.className" in problem.message
    assert "'standard'" in problem.message
    assert "kubectl get afclass" in problem.message


@pytest.mark.parametrize(("allowed", "shown"), [(["b", "a"], "a, b"), ([], "none")])
def test_a_class_that_the_tenant_may_not_use(allowed: list[str], shown: str) -> None:
    (problem,) = problems(environment(), None, tenant(allowedClasses=allowed))
    assert problem.reason is Reason.CLASS_NOT_ALLOWED
    assert "'team' may not use class 'standard'" in problem.message
    assert f"(allowed: {shown})" in problem.message
    assert "ask the platform team" in problem.message


def test_labels_that_a_tenant_requires_or_has_itself() -> None:
    demands = [{"key": "owner"}, {"key": "personal-data", "values": ["yes", "no"]}]
    claim = tenant(requiredLabels=demands, labels={"owner": "team-a"})
    (lacks,) = problems(environment(), None, claim)
    assert lacks.reason is Reason.LABEL_MISSING
    assert "spec.labels.personal-data is missing: tenant 'team' requires it: one of yes, no" in lacks.message
    own = {"personal-data": "no", "owner": "team-a", "purpose": "reports"}
    labels = resolve(environment(labels=own), claim, blueprint()).labels
    assert own.items() <= labels.items()
    (refused,) = problems(environment(labels={**own, "owner": "nobody"}), None, claim)
    assert refused.reason is Reason.LABEL_REFUSED
    assert "spec.labels.owner: tenant 'team' says 'team-a', not 'nobody'; remove it" in refused.message


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], "the platform team must give the tenant a namespace for it"),
        ([{"name": "any"}, {"name": "late", "stages": ["prod", "preprod"]}], "make the environment in any, late"),
        ([{"name": "early", "stages": ["test"]}], "the platform team must give"),
    ],
)
def test_a_namespace_that_is_for_other_stages(others: list[Json], words: str) -> None:
    of_dev = {"name": "team-a", "stages": ["dev", "test"]}
    claim = tenant(namespaces=[of_dev, *others])
    (problem,) = problems(environment(stage="prod"), None, claim)
    assert problem.reason is Reason.STAGE_NOT_ALLOWED
    assert "spec.stage: namespace 'team-a' of tenant 'team' is for dev, test, not for 'prod'" in problem.message
    assert words in problem.message
    assert resolve(environment(stage="test"), claim, blueprint()).stage == "test"


def test_a_namespace_of_no_tenant() -> None:
    with pytest.raises(Unresolved) as error:
        resolve(environment(), None, blueprint())
    (problem,) = error.value.problems
    assert problem.reason is Reason.NO_TENANT
    assert "'team-a'" in problem.message
    assert "spec.namespaces" in problem.message


def test_the_tenant_follows_from_the_namespace_whatever_labels_say() -> None:
    wanted = environment()
    labels = {"airfield.dev/tenant": "victim", "airfield.dev/class": "victim"}
    pretender = wanted.model_copy(update={"metadata": wanted.metadata.model_copy(update={"labels": labels})})
    found = effective(pretender, of_tenant=tenant("owner", labels={"cost-centre": "1"}))
    assert found.tenant == "owner"
    assert found.labels == {
        "cost-centre": "1",
        "airfield.dev/tenant": "owner",
        "airfield.dev/class": "standard",
        "airfield.dev/stage": "dev",
    }


def test_several_problems_are_told_at_once() -> None:
    found = problems(
        environment(
            version="9.9.9",
            config={"core": {"executor": "x"}},
            env=[{"name": "AIRFIELD_X", "value": "y"}],
            database={"server": {"name": "other"}},
            components={"scheduler": {"replicas": 3}},
        ),
        blueprint(**CEILINGS),
    )
    assert [problem.reason for problem in found] == [
        Reason.RESERVED_SETTING,
        Reason.RESERVED_SETTING,
        Reason.CEILING_EXCEEDED,
        Reason.VERSION_NOT_FOUND,
        Reason.SERVER_NOT_FOUND,
    ]


def bundle(name: str = "main", git: Any = None, image: Any = None) -> DagBundle:
    """A bundle that no model has looked at."""
    return DagBundle.model_construct(name=name, git=git, image=image)


FROM_GIT = DagBundle.model_validate(git_bundle()).git
FROM_IMAGE = DagBundle.model_validate({"name": "a", "image": {"path": "/opt/dags"}}).image
assert FROM_GIT is not None
assert FROM_IMAGE is not None


@pytest.mark.parametrize(
    ("bundles", "words"),
    [
        ([bundle(image=FROM_IMAGE), bundle(git=FROM_GIT)], "two bundles are called 'main'"),
        ([bundle()], "dags.bundles[main]: a bundle has exactly one source"),
        ([bundle(git=FROM_GIT, image=FROM_IMAGE)], "exactly one source"),
        ([bundle(git=FROM_GIT.model_copy(update={"subdir": "a/../../b"}))], "'a/../../b' must not contain '..'"),
        ([bundle(image=FROM_IMAGE.model_copy(update={"path": "/opt/../etc"}))], "'/opt/../etc'"),
    ],
)
def test_bundles_that_models_refuse_are_refused_again(bundles: list[DagBundle], words: str) -> None:
    fine = environment(dags={"bundles": [git_bundle()]})
    assert fine.spec.dags is not None
    dags = fine.spec.dags.model_copy(update={"bundles": tuple(bundles)})
    (problem,) = problems(fine.model_copy(update={"spec": fine.spec.model_copy(update={"dags": dags})}))
    assert problem.reason is Reason.INVALID_SPEC
    assert words in problem.message


def test_precedence_of_the_layers() -> None:
    def options(layer: str, *names: str) -> Json:
        return {"config": {"core": dict.fromkeys(names, layer)}}

    of_class = blueprint(
        defaults={**options("class", "a", "b", "c", "d"), "size": "small"},
        sizes=[{"name": "small", "defaults": options("size", "b", "c", "d")}],
        stages=[
            {"stage": "dev", "defaults": options("stage", "c", "d")},
            {"stage": "prod", "defaults": options("another stage", "a", "b", "c", "d", "e")},
        ],
    )
    found = effective(environment(**options("environment", "d")), of_class)
    assert found.settings.config == {"core": {"a": "class", "b": "size", "c": "stage", "d": "environment"}}
    assert found.settings.size == "small"
    assert found.origins["executor"] == "bundled defaults"
    assert [found.origins[f"config.core.{name}"] for name in "abcd"] == [
        "class standard",
        "size small",
        "stage dev",
        "environment",
    ]


@pytest.mark.parametrize(
    ("of_class", "of_stage", "of_environment", "size"),
    [
        (None, None, None, None),
        ("s", None, None, "s"),
        ("s", "m", None, "m"),
        ("s", "m", "l", "l"),
        ("s", None, "l", "l"),
        (None, None, "l", "l"),
    ],
)
def test_which_size(of_class: str | None, of_stage: str | None, of_environment: str | None, size: str | None) -> None:
    def preset(name: str | None) -> Json:
        return {} if name is None else {"size": name}

    sizes = [{"name": name, "defaults": {"config": {"core": {"size": name}}}} for name in "sml"]
    found = effective(
        environment(**preset(of_environment)),
        blueprint(sizes=sizes, defaults=preset(of_class), stages=[{"stage": "dev", "defaults": preset(of_stage)}]),
    )
    assert found.settings.size == size
    assert found.settings.config == (None if size is None else {"core": {"size": size}})


def test_bundled_defaults_are_complete() -> None:
    found = effective()
    assert (found.version, found.image, found.postgres_image) == ("3.3.2", "airflow:3.3.2", POSTGRES_IMAGE)
    assert (found.executor, found.deletion_policy, found.database_mode) == (
        Executor.KUBERNETES,
        DeletionPolicy.ORPHAN,
        "embedded",
    )
    assert found.server is None
    assert [(b.name, b.image and b.image.path) for b in found.bundles] == [("dags", "/opt/airflow/dags")]
    assert found.settings.logs is not None
    components = found.settings.components
    assert components is not None
    for component in (components.api_server, components.scheduler, components.dag_processor, components.triggerer):
        assert component is not None
        assert component.replicas == 1
        assert component.resources is not None


def test_channels_images_and_servers() -> None:
    assert effective(environment(version="stable")).version == "3.3.2"
    assert effective(environment(version="3.2.0")).image == "airflow:3.2.0"
    assert effective(environment(image={"reference": "own:1"})).image == "own:1"
    of_class = blueprint(databaseServers=[SERVER, {**SERVER, "name": "second"}], defaults={"database": {"server": {}}})
    first = effective(None, of_class)
    assert (first.database_mode, first.server and first.server.name) == ("server", "main")
    second = effective(environment(database={"server": {"name": "second"}}), of_class)
    assert second.server is not None
    assert second.server.name == "second"
    external = effective(environment(database={"external": {"secret": {"name": "a"}}}), of_class)
    assert (external.database_mode, external.server) == ("external", None)
    custom = effective(None, blueprint(catalog={**CATALOG, "postgresImage": "pg:1"}, valuesTemplate="a: b"))
    assert (custom.postgres_image, custom.values_template) == ("pg:1", "a: b")


def test_ceilings_are_met_exactly() -> None:
    volume = {"size": "10Gi"}
    found = effective(
        environment(
            components={
                "scheduler": {"replicas": 2, "resources": {"limits": {"cpu": "2000m", "memory": "4096Mi"}}},
                "triggerer": {"replicas": 0},
            },
            database={"embedded": {**volume, "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}},
            logs={"persistentVolume": volume},
        ),
        blueprint(**CEILINGS),
    )
    assert found.version == "3.3.2"


@pytest.mark.parametrize("of_class", [{}, {"database": {"server": {}}}, {"database": {"embedded": {}}}])
def test_what_nobody_says_of_an_embedded_database(of_class: Json) -> None:
    """It has a size, requests and limits, whatever kind the layers below wish for."""
    bounds = {"ceilings": {"cpu": "2"}, "defaults": {"version": "stable", **of_class}, "databaseServers": [SERVER]}
    found = effective(
        environment(database={"embedded": {"resources": {"requests": {"cpu": "1"}}}}), blueprint(**bounds)
    )
    assert found.settings.to_json()["database"] == {
        "embedded": {
            "size": "5Gi",
            "resources": {
                "requests": {"cpu": "1", "memory": "128Mi"},
                "limits": {"cpu": "2", "memory": "512Mi"},
            },
        }
    }
    where = "database.embedded"
    assert {path: layer for path, layer in found.origins.items() if path.startswith("database")} == {
        f"{where}.size": "bundled defaults",
        f"{where}.resources.requests.cpu": "environment",
        f"{where}.resources.requests.memory": "bundled defaults",
        f"{where}.resources.limits.cpu": "ceiling of class standard",
        f"{where}.resources.limits.memory": "bundled defaults",
    }


def test_the_chart_has_the_same_of_an_embedded_database() -> None:
    """It renders alone, too."""
    chart = Path(__file__).parents[3] / "charts" / "airflow" / "values.yaml"
    given = yaml.safe_load(chart.read_text())["database"]["embedded"]
    assert {key: given[key] for key in ("size", "resources")} == EMBEDDED


def test_validation_messages_name_the_field_and_do_not_echo_the_value() -> None:
    class_body = {"apiVersion": "airfield.dev/v1alpha1", "kind": "AirflowEnvironmentClass", "metadata": {"name": "a"}}
    with pytest.raises(ValueError, match="catalog") as error:
        AirflowEnvironmentClass.model_validate({**class_body, "spec": {"catalog": {"versions": "hunter2"}}})
    (message,) = validation_messages(error.value)  # type: ignore[arg-type]
    assert message.startswith("spec.catalog.versions: ")
    assert "hunter2" not in message


@pytest.mark.parametrize("kind", ["embedded", "server", "external"])
def test_the_class_cannot_move_an_environment_to_another_kind_of_database(kind: str) -> None:
    status = AirflowEnvironmentStatus(database=DatabaseStatus.model_validate({"mode": kind}))
    running = environment().model_copy(update={"status": status})
    changed = blueprint(defaults={"database": {"server": {}}}, databaseServers=[SERVER])
    if kind == "server":
        assert resolve(running, tenant(), changed).server is not None
        return
    with pytest.raises(Unresolved) as refused:
        resolve(running, tenant(), changed)
    problem = refused.value.problems[0]
    assert problem.reason is Reason.DATABASE_CHANGED
    for words in (repr(kind), "class standard says 'server'", f"Set spec.database.{kind}"):
        assert words in problem.message


def test_who_wants_to_move_a_database_is_named() -> None:
    status = AirflowEnvironmentStatus(database=DatabaseStatus.model_validate({"mode": "server"}))
    running = environment(stage="dev").model_copy(update={"status": status})
    wishes = {"stages": [{"stage": "dev", "defaults": {"database": {"embedded": {}}}}]}
    (problem,) = problems(running, blueprint(defaults={"version": "stable", "database": {"server": {}}}, **wishes))
    assert problem.reason is Reason.DATABASE_CHANGED
    assert "stage dev says 'embedded'" in problem.message
