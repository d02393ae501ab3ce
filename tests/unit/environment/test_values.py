"""The values template: tenants' strings come out as they went in, and a template that fails fails alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.environment import EnvVar
from airfield.environment.resolve import Effective
from airfield.environment.secrets import Key, connection_secret
from airfield.environment.template.sandbox import LARGEST, ValuesError, render_values
from airfield.environment.values import Endpoint, context, database_endpoint, revision, schema_revision
from builders import SERVER, Json, blueprint, effective, environment, git_bundle, tenant

HOSTILE = [
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# comment",
    "': |\n  a: b",
    '"}\nlabels: {}',
    "- a\n- b",
    "&anchor *alias !!python/object:os.system",
    "$(id) `id` ; rm -rf / && ${HOME} %(here)s",
    "yes",
    "null",
    "1e3",
    "0x10",
    "22:22",
    "2020-01-01",
    "~",
    "",
    " ",
    "\t\n\r\v\f\0\x1b\x7f\x85\xa0",
    "\u2028\u2029\ufeff\ufffe\uffff\u202e\U0001f600\U0010ffff\ue000",
    "---\n...",
    "\\u0041 \\n \\",
    "<script>&amp;'\"</script>",
    "x" * 4096,
]
TEXT = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def values_of(found: Effective, digests: dict[str, str] | None = None) -> Json:
    return render_values(None, context(found, digests or {}, operator_namespace="airfield-system"))


def with_settings(**fields: Any) -> Effective:
    """A specification with settings that no model and no rule has looked at."""
    found = effective()
    labels = fields.pop("labels", found.labels)
    settings = found.settings.model_validate({**found.settings.to_json()}).model_copy(update=fields)
    settings.model_fields_set.update(fields)
    return Effective(
        **{
            **{name: getattr(found, name) for name in Effective.__dataclass_fields__},
            "settings": settings,
            "labels": labels,
        }
    )


@given(
    st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=3), st.dictionaries(TEXT, TEXT, max_size=3)
)
def test_no_string_becomes_structure(config: dict[str, dict[str, str]], labels: dict[str, str]) -> None:
    # YAML bounds keys to 1024 characters, and the API to 63.
    config = {s[:63]: {k[:63]: v for k, v in options.items()} for s, options in config.items()}
    labels = {key[:63]: value for key, value in labels.items()}
    values = values_of(with_settings(config=config, labels=labels))
    assert values["config"] == config
    assert values["labels"] == labels


@given(st.lists(TEXT, max_size=4))
def test_variables_come_out_as_they_went_in(texts: list[str]) -> None:
    env = tuple(EnvVar.model_construct(name=f"V{number}", value=text) for number, text in enumerate(texts))
    found = values_of(with_settings(env=env))["env"]
    assert found == [{"name": f"V{number}", "value": text} for number, text in enumerate(texts)]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize(
    "how", ["{{ text }}", "{{ text | tojson }}", "{{ text | string }}", "{{ text | safe }}", "{{ [text][0] }}"]
)
def test_hostile_texts_in_a_template_of_ones_own(text: str, how: str) -> None:
    assert render_values(f"a: {how}\nb: {{inner: {how}}}\n", {"text": text}) == {"a": text, "b": {"inner": text}}


def test_the_bundled_template() -> None:
    found = effective(
        environment(
            dags={
                "bundles": [
                    git_bundle("main", credentialsSecret={"name": "login"}, subdir="dags", refreshIntervalSeconds=30),
                    git_bundle("open"),
                    {"name": "baked", "image": {"path": "/opt/dags"}},
                ]
            },
            env=[{"name": "A", "value": "1"}, {"name": "B", "secretKeyRef": {"name": "s", "key": "k"}}],
            image={"pullSecrets": [{"name": "registry"}]},
            logs={"persistentVolume": {"size": "2Gi", "storageClassName": "fast"}},
        ),
        of_tenant=tenant(labels={"cost-centre": "4711"}),
    )
    values = values_of(found, {"demo-fernet": "0123"})
    assert values["airflow"] == {"version": "3.3.2", "image": "airflow:3.3.2", "pullSecrets": ["registry"]}
    assert values["labels"]["cost-centre"] == "4711"
    assert values["executor"] == "KubernetesExecutor"
    assert values["env"] == [{"name": "A", "value": "1"}, {"name": "B", "secret": {"name": "s", "key": "k"}}]
    assert values["bundles"] == [
        {
            "name": "main",
            "git": {
                "url": "https://git.example.com/dags.git",
                "ref": "main",
                "subdir": "dags",
                "refreshIntervalSeconds": 30,
                "connectionSecret": connection_secret("demo", "main"),
            },
        },
        {
            "name": "open",
            "git": {
                "url": "https://git.example.com/dags.git",
                "ref": "main",
                "subdir": "",
                "refreshIntervalSeconds": 60,
                "connectionSecret": "",
            },
        },
        {"name": "baked", "local": {"path": "/opt/dags", "refreshIntervalSeconds": 60}},
    ]
    assert values["logs"] == {"size": "2Gi", "storageClass": "fast", "accessMode": "ReadWriteMany"}
    assert values["database"] == {
        "mode": "embedded",
        "host": "demo-db.team-a.svc",
        "port": 5432,
        "embedded": {
            "image": "airfield/postgres:17",
            "size": "5Gi",
            "storageClass": "",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        },
    }
    assert values["secrets"] == {key.value: f"demo-{key.value}" for key in Key if key is not Key.ADMIN}
    assert values["digests"] == {"demo-fernet": "0123"}
    assert values["migration"] == {"revision": revision(found)}
    assert values["networkPolicy"] == {
        "operatorNamespace": "airfield-system",
        "ingressFrom": [],
        "extraEgress": [],
        "kubernetesApi": {"cidrs": []},
    }


def test_databases_elsewhere() -> None:
    on_server = effective(
        environment(env=[{"name": "PGSSLMODE", "value": "disable"}]),
        blueprint(databaseServers=[{**SERVER, "sslMode": "require"}], defaults={"database": {"server": {}}}),
    )
    values = values_of(on_server)
    assert values["database"] == {"mode": "server", "host": "db.example.com", "port": 5432}
    assert database_endpoint(on_server).host == "db.example.com"
    # Once, and as the class says: a Pod refuses a variable that stands there twice.
    assert values["env"] == [{"name": "PGSSLMODE", "value": "require"}]

    external = effective(environment(database={"external": {"secret": {"name": "a"}}}))
    found = context(external, {}, operator_namespace="o", external=Endpoint("10.0.0.1", 6432))
    assert render_values(None, found)["database"] == {"mode": "external", "host": "10.0.0.1", "port": 6432}


def test_embedded_resources_are_passed_on() -> None:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    database = values_of(effective(environment(database={"embedded": {"resources": resources}})))["database"]
    assert database["embedded"]["resources"] == resources


def test_the_same_specification_gives_the_same_values() -> None:
    assert values_of(effective()) == values_of(effective())
    assert revision(effective()) == schema_revision("3.3.2", "airflow:3.3.2")
    assert revision(effective()) != revision(effective(environment(version="3.2.0")))
    assert revision(effective()) != revision(effective(environment(image={"reference": "own:3.3.2"})))


LOOPS = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
ALIASES = "".join(f"x{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else '1'] * 20)}]\n" for n in range(8))
FAILURES: dict[str, tuple[str, str]] = {
    "undefined": ("a: 1\nb: {{ nothing }}", "line 2: 'nothing' is undefined"),
    "undefined-attribute": ("a: {{ environment.nothing }}", "no attribute 'nothing'"),
    "undefined-inside": ("a: {{ {'b': nothing} }}", "'nothing' is undefined"),
    "syntax": ("a: 1\n{% if %}", "line 2: Expected an expression"),
    "unknown-filter": ("a: {{ 1 | nothing }}", "No filter named 'nothing'"),
    "raises": ("a: {{ 1 / 0 }}", "line 1: ZeroDivisionError"),
    "raises-in-macro": ("{% macro m() %}\n{{ 1 / 0 }}{% endmacro %}\na: {{ m() }}", "line 2: ZeroDivisionError"),
    "class": ("a: {{ ''.__class__.__mro__ }}", "'__class__' of 'str' object is unsafe"),
    "globals": ("a: {{ cycler.__init__.__globals__ }}", "'__init__' of 'type' object is unsafe"),
    "lipsum": ("a: {{ lipsum.__globals__['os'].popen('id').read() }}", "is unsafe"),
    "attribute-filter": ("a: {{ ''|attr('__class__') }}", "is unsafe"),
    "format": ("a: {{ '{0.__class__}'.format(1) }}", "is unsafe"),
    "format-map": ("a: {{ '{a.__class__}'.format_map({'a': 1}) }}", "is unsafe"),
    "include": ("{% include 'x' %}", "no loader"),
    "import": ("{% import 'x' as x %}", "no loader"),
    "range": ("a: {{ range(10 ** 9) }}", "Range too big"),
    "loops": (LOOPS, "more than 100000 passes"),
    "loop-over-text": ("{% for a in 'x' * 200000 %}{% endfor %}", "more than 100000 passes"),
    "recursion": ("{% macro m() %}{{ m() }}{% endmacro %}a: {{ m() }}", "RecursionError"),
    "long": ("a: {{ 'x' * 600000 }}", f"more than {LARGEST} characters"),
    "long-loop": ("{% for i in range(90000) %}# {{ i }} long\n{% endfor %}", f"more than {LARGEST} characters"),
    "generator": ("a: {{ [1] | map('string') }}", "`| list` makes a list"),
    "function": ("a: {{ range }}", "is not data"),
    "infinity": ("{% set a = 1e200 %}a: {{ a * a }}", "not JSON compliant"),
    "list": ("- a", "must yield one mapping of chart values, not list"),
    "text": ("a", "not str"),
    "nothing": ("# nothing", "not nothing"),
    "two": ("a: 1\n---\nb: 2", "not dict, dict"),
    "yaml": ("a: [", "YAML that cannot be read"),
    "yaml-tabs": ("a:\n\tb: 1", "YAML that cannot be read"),
    "yaml-tag": ("a: !!python/object/apply:os.system ['id']", "YAML that cannot be read"),
    "yaml-control": ("a: \x00", "YAML that cannot be read"),
    "yaml-surrogate": ("a: {{ '\\ud800' }}", "YAML that cannot be read"),
    "yaml-deep": ("a: " + "[" * 300_000, "levels of nesting"),
    "yaml-aliases": (ALIASES, "more than 500000 values"),
    "yaml-long-aliases": (
        "a: &a {{ 'x' * 100000 }}\nb: [" + "*a, " * 500 + "]",
        "values of more than 8388608 characters",
    ),
    "yaml-circle": ("a: &a [*a]", "more than 500000 values"),
    "bytes": ("a: !!binary aGVsbG8=", "what JSON does not have"),
    "keys": ("1: a\nb: c", "what JSON does not have"),
}


@pytest.mark.parametrize(("template", "words"), FAILURES.values(), ids=FAILURES)
def test_a_template_that_fails_says_how(template: str, words: str) -> None:
    with pytest.raises(ValuesError) as error:
        render_values(template, context(effective(), {}, operator_namespace="o"))
    message = str(error.value)
    assert message.startswith("spec.valuesTemplate")
    assert words in message
    assert "\n" not in message
    assert len(message) < 700


PIECES = """{{ }} {% %} {# #} for in endfor if set environment .labels | tojson a: [ ] { } ' " &a *a ! - , range(3)"""
BITS = st.sampled_from([*PIECES.split(" "), "__class__", "1", "()", "\n", "  ", " for x in y "])


@given(st.lists(BITS, max_size=14).map("".join))
def test_no_template_raises_anything_else(template: str) -> None:
    try:
        found = render_values(template, {"environment": {"labels": {"a": "b"}}, "y": [1, 2]})
    except ValuesError:
        return
    assert isinstance(found, dict)


def test_loops_and_structures_that_are_fine() -> None:
    template = """\
list:
{% for name in names %}
  - {name: {{ name }}, first: {{ loop.first }}, of: {{ loop.length }}}
{% endfor %}
text: {{ "a" ~ names[0] }}
all: {{ names | map("upper") | list | tojson }}
day: 2020-01-01
"""
    assert render_values(template, {"names": ["x: y", "z"]}) == {
        "list": [{"name": "x: y", "first": True, "of": 2}, {"name": "z", "first": False, "of": 2}],
        "text": "ax: y",
        "all": ["X: Y", "Z"],
        "day": "2020-01-01",
    }


def test_passes_are_counted_for_each_rendering_anew() -> None:
    template = "{% for i in range(60000) %}{% endfor %}a: 1"
    assert render_values(template, {}) == render_values(template, {}) == {"a": 1}
