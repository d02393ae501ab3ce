"""The generated CustomResourceDefinitions on a real API server: it accepts them, and it keeps each of their rules."""

import http.client
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.api.base import VALIDATIONS
from airfield.api.crd import KINDS, definition
from airfield.kube import credentials
from airfield.kube.client import NO_VERSION
from clusters import kubectl
from localcluster import Cluster
from resource_cases import ACCEPTED, KIND_IN_USE, REFUSED, SAME_KIND, Case, blueprint, environment, tenant

pytestmark = pytest.mark.apiserver

Json = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURALS = {kind.name: kind.plural for kind in KINDS}


def rules(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Json]]:
    """Every CEL rule in a schema, with the path of what it looks at."""
    yield from ((path, rule) for rule in schema.get(VALIDATIONS, ()))
    for name, child in schema.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}")
    for word, step in (("items", "[]"), ("additionalProperties", "[*]")):
        if word in schema:
            yield from rules(schema[word], path + step)


def looking_at(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Json]]:
    """Those that stand where `value` has something for them to look at."""
    if value is None:
        return
    yield from ((path, rule) for rule in schema.get(VALIDATIONS, ()))
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        for key, child in value.items():
            if key in properties:
                yield from looking_at(child, properties[key], f"{path}.{key}")
            elif "additionalProperties" in schema:
                yield from looking_at(child, schema["additionalProperties"], f"{path}[*]")
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from looking_at(child, schema.get("items", {}), f"{path}[]")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Json

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


@dataclass
class RefusedAt:
    """Which cases were refused, and by which rules at which places."""

    cases: set[str] = field(default_factory=set)
    places: set[tuple[str, str, str]] = field(default_factory=set)

    def note(self, case: str, kind: str, answer: Answer) -> None:
        self.cases.add(case)
        for cause in answer.body.get("details", {}).get("causes", ()):
            path = place_in_schema(cause.get("field", ""), SCHEMAS[kind])
            here = [rule["message"] for at, rule in ALL_RULES[kind] if at == path]
            self.places |= {(kind, path, message) for message in here if message in cause["message"]}


def place_in_schema(path: str, schema: Mapping[str, Any]) -> str:
    """`spec.env[0].value` as `.spec.env[].value`, and what follows a map's name as `[*]`."""
    found, node = "", schema
    for name, index in re.findall(r"([^.\[\]]+)|\[([^\]]*)\]", path):
        if name in node.get("properties", {}):
            found, node = f"{found}.{name}", node["properties"][name]
        elif index and "items" in node:
            found, node = f"{found}[]", node["items"]
        elif "additionalProperties" in node:
            found, node = f"{found}[*]", node["additionalProperties"]
    return found


SCHEMAS = {kind.name: definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS}
ALL_RULES = {kind: [*rules(schema)] for kind, schema in SCHEMAS.items()}
PLACES = {(kind, path, rule["message"]) for kind, found in ALL_RULES.items() for path, rule in found}
"""Every CEL rule of every kind, by where it stands."""
refused_at = RefusedAt()


class Api:
    """The API server as it is, without a client's own opinion. Strict: it refuses unknown fields."""

    def __init__(self, kubeconfig: Path) -> None:
        found = credentials.from_kubeconfig(path=str(kubeconfig))
        server = found.url.removeprefix("https://")
        self._connection = http.client.HTTPSConnection(server, context=found.ssl, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content: str = "json",
        *,
        dry: bool = False,
        manager: str = "test",
    ) -> Answer:
        changes = f"?fieldManager={manager}&fieldValidation=Strict{'&dryRun=All' if dry else ''}"
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": f"application/{content}"}
        self._connection.request(method, path + ("" if method == "GET" else changes), text, headers)
        response = self._connection.getresponse()
        return Answer(response.status, json.loads(response.read()))

    def create(self, manifest: Mapping[str, Any], *, dry: bool = False) -> Answer:
        return self.request("POST", collection(manifest), manifest, dry=dry)

    def get(self, manifest: Mapping[str, Any]) -> Json:
        return self.request("GET", place(manifest)).body

    def apply(self, path: str, manifest: Mapping[str, Any], manager: str = "test") -> Answer:
        return self.request("PATCH", path, manifest, "apply-patch+yaml", manager=manager)

    def merge(self, manifest: Mapping[str, Any], patch: Mapping[str, Any], subresource: str = "") -> Answer:
        return self.request("PATCH", place(manifest) + subresource, patch, "merge-patch+json")


def collection(manifest: Mapping[str, Any]) -> str:
    namespace = manifest["metadata"].get("namespace")
    return f"/apis/airfield.dev/v1alpha1{f'/namespaces/{namespace}' if namespace else ''}/{PLURALS[manifest['kind']]}"


def place(manifest: Mapping[str, Any]) -> str:
    return f"{collection(manifest)}/{manifest['metadata']['name']}"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def api(control_plane: Cluster) -> Iterator[Api]:
    with closing(Api(control_plane.kubeconfig)) as api:
        established(api)
        yield api


def established(api: Api) -> None:
    """Apply the definitions, and return when they are served."""
    for kind in KINDS:
        crd = definition(kind)
        path = f"{CRDS}/{crd['metadata']['name']}"
        answer = api.apply(path, crd)
        assert answer.status in {200, 201}, answer.message
        wait_until(partial(has_condition, api, path, "Established"), f"{kind.name} is established")
        wait_until(partial(answers, api, f"/apis/airfield.dev/v1alpha1/{kind.plural}"), f"{kind.name} is served")


def answers(api: Api, path: str) -> bool:
    return api.request("GET", path).status == http.client.OK


def has_condition(api: Api, path: str, wanted: str) -> bool:
    conditions = api.request("GET", path).body.get("status", {}).get("conditions")
    return any(condition["type"] == wanted and condition["status"] == "True" for condition in conditions or ())


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    name = f"crds-{uuid.uuid4().hex[:8]}"
    answer = api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.message
    yield name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def in_namespace(manifest: Json, namespace: str) -> Json:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_definition_is_structural_and_small_enough_for_kubectl_apply(api: Api, kind: Any) -> None:
    path = f"{CRDS}/{kind.plural}.airfield.dev"
    conditions = {c["type"]: c["status"] for c in api.request("GET", path).body["status"]["conditions"]}

    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions
    # What client-side `kubectl apply` keeps in an annotation; all annotations together have 256 KiB.
    assert len(json.dumps(definition(kind))) < 200 * 1024


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_accepted(api: Api, case: Case) -> None:
    answer = api.create(case.manifest, dry=True)

    assert answer.status == 201, answer.message


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused(api: Api, case: Case) -> None:
    answer = api.create(case.manifest, dry=True)

    assert answer.status in {400, 422}, answer.body
    assert case.refusal in answer.message
    refused_at.note(str(case), case.kind, answer)


EMBEDDED: Json = {"embedded": {"size": "1Gi"}}
SERVER: Json = {"server": {}}
EXTERNAL: Json = {"external": {"secret": {"name": "database"}}}
TRANSITIONS = (
    # name, database before, in use according to the status, database after, refusal
    ("resize", EMBEDDED, "embedded", {"embedded": {"size": "2Gi"}}, ""),
    ("change", EMBEDDED, "", {**SERVER, "embedded": None}, SAME_KIND),
    ("change-back", EXTERNAL, "external", {**EMBEDDED, "external": None}, SAME_KIND),
    ("remove", SERVER, "server", None, SAME_KIND),
    ("set-before-use", None, "", EXTERNAL, ""),
    ("set-to-embedded-in-use", None, "embedded", EMBEDDED, ""),
    ("set-to-server-in-use", None, "server", SERVER, ""),
    ("set-to-external-in-use", None, "external", EXTERNAL, ""),
    ("set-to-another-than-embedded", None, "embedded", SERVER, KIND_IN_USE),
    ("set-to-another-than-server", None, "server", EXTERNAL, KIND_IN_USE),
    ("set-to-another-than-external", None, "external", EMBEDDED, KIND_IN_USE),
)


@pytest.mark.parametrize(
    ("name", "before", "used", "after", "refusal"), TRANSITIONS, ids=[row[0] for row in TRANSITIONS]
)
def test_kind_of_database_is_settled_once_it_is_in_use(
    api: Api, namespace: str, name: str, before: Json | None, used: str, after: Json | None, refusal: str
) -> None:
    manifest = in_namespace(environment(name, **({"database": before} if before else {})), namespace)
    assert api.create(manifest).status == 201
    if used:
        answer = api.merge(manifest, {"status": {"database": {"mode": used}}}, "/status")
        assert answer.status == 200, answer.message

    answer = api.merge(manifest, {"spec": {"database": after}})

    assert answer.status == (422 if refusal else 200), answer.body
    assert refusal in answer.message
    if refusal:
        refused_at.note(name, "AirflowEnvironment", answer)
    # Whatever a specification says, the operator can always write what it sees.
    assert api.merge(manifest, {"status": {"database": {"mode": "server"}}}, "/status").status == 200


def test_every_rule_is_refused_by_some_case_wherever_it_stands() -> None:
    """After the cases have been run, which tell where they were refused."""
    if not refused_at.cases >= {*map(str, REFUSED), *(row[0] for row in TRANSITIONS if row[-1])}:
        pytest.skip("not all cases were run here")

    assert PLACES
    assert PLACES - refused_at.places == set()


def test_every_rule_has_looked_at_some_accepted_case_wherever_it_stands() -> None:
    accepted = {
        (case.kind, path, rule["message"])
        for case in ACCEPTED
        for path, rule in looking_at(case.manifest, SCHEMAS[case.kind])
        if "oldSelf" not in rule["rule"]
    }
    kind = "AirflowEnvironment"
    for _, _, _, database, refusal in TRANSITIONS:
        if not refusal:
            changed = environment(database=database)
            accepted |= {(kind, path, rule["message"]) for path, rule in looking_at(changed, SCHEMAS[kind])}

    assert PLACES - accepted == set()


def test_appliers_share_lists_by_name_and_cannot_add_a_name_twice(api: Api, namespace: str) -> None:
    manifest = in_namespace(environment(env=[{"name": "A", "value": "1"}]), namespace)
    assert api.apply(place(manifest), manifest).status == 201
    other = {**manifest, "spec": {**manifest["spec"], "env": [{"name": "B", "value": "2"}]}}
    assert api.apply(place(manifest), other, "other").status == 200
    twice = {**manifest, "spec": {**manifest["spec"], "env": [{"name": "A", "value": "1"}] * 2}}
    answer = api.apply(place(manifest), twice)

    assert [item["name"] for item in api.get(manifest)["spec"]["env"]] == ["A", "B"]
    assert answer.status >= 400
    assert "duplicate entries for key" in answer.message


def test_an_apply_that_only_makes_finds_custom_resources_too(api: Api, namespace: str) -> None:
    """As KubeClient.apply_new does it; of built-in kinds its own tests tell."""
    manifest = in_namespace(environment(), namespace)
    new = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": NO_VERSION}}
    assert api.apply(place(manifest), new).status == 201
    assert api.apply(place(manifest), new).status == 409


def test_status_says_minus_one_until_the_operator_has_looked(api: Api, namespace: str) -> None:
    for manifest in (in_namespace(environment(), namespace), tenant(namespace), blueprint(namespace)):
        assert api.create(manifest).status == 201

        assert api.get(manifest)["status"] == {"observedGeneration": -1}


def test_status_is_a_subresource(api: Api, namespace: str) -> None:
    manifest = in_namespace(environment(), namespace)
    api.create({**manifest, "status": {"observedGeneration": 5}})
    api.merge(manifest, {"status": {"observedGeneration": 6}})
    assert api.get(manifest)["status"] == {"observedGeneration": -1}

    api.merge(manifest, {"status": {"observedGeneration": 7}, "spec": {"stage": "prod"}}, "/status")

    found = api.get(manifest)
    assert (found["status"]["observedGeneration"], found["spec"]["stage"]) == (7, "dev")
    assert found["metadata"]["generation"] == 1


READY = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "reason": "Healthy",
    "message": "everything runs",
}


def test_kubectl_shows_the_columns_and_waits(api: Api, control_plane: Cluster, namespace: str) -> None:
    manifest = in_namespace(environment("demo"), namespace)
    api.create(manifest)
    status = {
        "observedGeneration": 1,
        "conditions": [READY],
        "version": "3.3.2",
        "tenant": "team-a",
        "executor": "LocalExecutor",
        "url": "http://demo:8080",
    }
    assert api.merge(manifest, {"status": status}, "/status").status == 200
    run = partial(kubectl, control_plane, f"--namespace={namespace}")

    run("wait", "--for=condition=Ready", "--timeout=10s", "afenv/demo")
    header, row = (line.split() for line in run("get", "afenv").splitlines())
    wide_header, wide_row = run("get", "afenv", "--output=wide").splitlines()

    assert header == ["NAME", "READY", "STATUS", "VERSION", "TENANT", "CLASS", "AGE"]
    assert row[:-1] == ["demo", "True", "Healthy", "3.3.2", "team-a", "standard"]
    assert wide_header.split()[-3:] == ["EXECUTOR", "URL", "MESSAGE"]
    assert wide_row.endswith("everything runs")
    assert "demo" in run("get", "airfield")
    cluster_scoped = (tenant(namespace), blueprint(namespace))
    for each in cluster_scoped:
        assert api.create(each).status == 201
    assert run("get", "aftenant,afclass", namespace, "--output=name").split() == [
        f"airflowtenant.airfield.dev/{namespace}",
        f"airflowenvironmentclass.airfield.dev/{namespace}",
    ]
    for each in cluster_scoped:
        assert api.request("DELETE", place(each)).status == 200


def test_kubectl_explains_fields(api: Api, control_plane: Cluster) -> None:
    del api

    def published() -> bool:
        # Discovery learns of a new resource a little after its definition is established.
        try:
            return "Branch, tag or commit." in kubectl(control_plane, "explain", "afenv.spec.dags.bundles.git.ref")
        except AssertionError:
            return False

    wait_until(published, "the description is published")


FOLDERS = ("quickstart", "databases")
EXAMPLES = [file for folder in FOLDERS for file in sorted((REPOSITORY / "examples" / folder).glob("*.yaml"))]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_examples_are_valid(api: Api, namespace: str, file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["kind"] in PLURALS:
            where = in_namespace(manifest, namespace) if "namespace" in manifest["metadata"] else manifest
            answer = api.create(where, dry=True)
            assert answer.status == 201, answer.message
        else:
            assert manifest["kind"] in {"Namespace", "Secret"}


def test_the_examples_have_all_kinds() -> None:
    for folder in FOLDERS:
        files = [file for file in EXAMPLES if file.parent.name == folder]
        kinds = {manifest["kind"] for file in files for manifest in yaml.safe_load_all(file.read_text())}
        assert {*PLURALS, "Namespace"} <= kinds
