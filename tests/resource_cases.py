"""Resources that must be accepted or refused, as a table: the API server and the models are both held to it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from airfield.api.base import Rule
from airfield.api.environment import AirflowEnvironment, AirflowEnvironmentSpec, DagBundle, Database, EnvVar
from airfield.api.environment_class import AirflowEnvironmentClass, Catalog
from airfield.api.exposure import Exposure, IngressTls
from airfield.api.identity import OidcProvider, Pattern
from airfield.api.network import Cidr, Egress
from airfield.api.reserved import CONFIG_RULES, ENV_RULE, RESERVED_CONFIG, RESERVED_ENV
from airfield.api.structural import short_keys
from airfield.api.tenant import AirflowTenant, Subject
from dag_source_cases import ACCEPTED_SOURCES, REFUSED_SOURCES

Json = dict[str, Any]
MODELS = {model.__name__: model for model in (AirflowEnvironment, AirflowTenant, AirflowEnvironmentClass)}

COMPONENTS = ("apiServer", "scheduler", "dagProcessor", "triggerer", "workers")
OWNED_LABELS = "labels under airfield.dev/ and app.kubernetes.io/ are the operator's own"
NO_TENANTS = "namespaces of the system (default, kube-*) belong to no tenant"
RANGE = next(each.message for each in get_args(Cidr)[1:] if isinstance(each, Rule))
PLACEHOLDERS = next(each.message for each in get_args(Pattern)[1:] if isinstance(each, Rule))
OWN_AUDIENCE, OPENID, PEM = (
    next(rule.message for rule in OidcProvider.model_fields[name].metadata if isinstance(rule, Rule))
    if name == "scopes"
    else next(
        rule.message
        for rule in get_args(get_args(OidcProvider.model_fields[name].annotation)[0])
        if isinstance(rule, Rule) and rule.message != PLACEHOLDERS
    )
    for name in ("audience", "scopes", "ca_bundle")
)
ONE_END = Egress.RULES[0].message
ONE_SOURCE, ONE_VALUE = DagBundle.RULES[0].message, EnvVar.RULES[0].message
ONE_DATABASE, ONE_OWNER = Database.RULES[0].message, Subject.RULES[0].message
ONE_WAY, OWN_HOST = (rule.message for rule in Exposure.RULES)
ONE_CERTIFICATE = IngressTls.RULES[0].message
KNOWN_CHANNEL = Catalog.RULES[0].message
SAME_KIND, KIND_IN_USE = AirflowEnvironmentSpec.RULES[0].message, AirflowEnvironment.RULES[1].message


@dataclass(frozen=True)
class Case:
    """A resource and what the API server says to it."""

    name: str
    manifest: Mapping[str, Any]
    refusal: str = ""
    """Part of the message; empty if it is accepted."""
    model_refuses: bool = True
    """Whether the model refuses it as well; `resolve` does where it doesn't."""

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


def resource(kind: str, spec: Mapping[str, Any], name: str = "a") -> Json:
    metadata = {"name": name, **({"namespace": "default"} if kind == "AirflowEnvironment" else {})}
    return {"apiVersion": "airfield.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def environment(name: str = "a", **spec: Any) -> Json:
    return resource("AirflowEnvironment", {"className": "standard", "stage": "dev", **spec}, name)


def tenant(name: str = "a", **spec: Any) -> Json:
    return resource("AirflowTenant", spec, name)


def blueprint(name: str = "a", **spec: Any) -> Json:
    catalog = {"versions": [{"version": "3.3.2", "image": "airflow:3.3.2"}]}
    return resource("AirflowEnvironmentClass", {"catalog": catalog, **spec}, name)


def bundle(**source: Any) -> Json:
    return environment(dags={"bundles": [{"name": "main", **source}]})


def git(**fields: Any) -> Json:
    return bundle(git={"url": "https://host/repository.git", "ref": "main", **fields})


def variable(**fields: Any) -> Json:
    return environment(env=[{"name": "A", **fields}])


def _settings() -> Iterator[Case]:
    """What environments and the presets of classes have in common: the same rules in both."""
    presets = (
        ("", environment),
        ("default-", _default),
        ("size-", _size),
        ("stage-", _stage),
    )
    for where, preset in presets:
        for (section, options), rule in zip(RESERVED_CONFIG.items(), CONFIG_RULES, strict=True):
            for option in (options[0], f"{options[-1]}_cmd", f"{options[-1]}_secret"):
                config = {section: {option: "x", "harmless": "y"}}
                yield Case(f"{where}config-{section}-{option}", preset(config=config), rule.message, False)
        harmless = {section: {"parallelism": "4"} for section in RESERVED_CONFIG}
        yield Case(f"{where}config-harmless", preset(config=harmless))
        for name in ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", *RESERVED_ENV):
            env = [{"name": name, "value": "x"}]
            yield Case(f"{where}env-{name}", preset(env=env), ENV_RULE.message, False)
        yield Case(f"{where}env-harmless", preset(env=[{"name": "AIRFLOW__CORE__PARALLELISM", "value": "4"}]))
        yield Case(f"{where}env-two", preset(env=[{"name": "A"}]), ONE_VALUE)
        databases: tuple[Json, ...] = (
            {},
            {"embedded": {}, "server": {}},
            {"embedded": {}, "server": {}, **_external()},
        )
        for number, database in enumerate(databases):
            yield Case(f"{where}database-{number}", preset(database=database), ONE_DATABASE)
        for database in ({"embedded": {}}, {"server": {}}, _external()):
            yield Case(f"{where}database-{''.join(database)}", preset(database=database))
        too_long = {"config": {"a" * 64: {"x": ""}}, "config-option": {"core": {"a" * 64: ""}}}
        for name, config in too_long.items():
            yield Case(f"{where}{name}-above-bound", preset(config=config), short_keys(63)["message"])
        yield Case(f"{where}config-at-bound", preset(config={"a" * 63: {"a" * 63: ""}}))
        for component in COMPONENTS:
            for length in (317, 318):
                nodes = {"nodeSelector": {f"{'a' * (length - 64)}/{'a' * 63}": "x"}}
                refusal = short_keys(317)["message"] if length > 317 else ""
                yield Case(f"{where}{component}-nodes-{length}", preset(components={component: nodes}), refusal)
    yield Case("env-airfield", variable(name="AIRFIELD_X", value="x"), ENV_RULE.message, False)
    yield Case("env-git", variable(name="AIRFLOW_CONN_GIT_MAIN", value="x"), ENV_RULE.message, False)
    yield Case("env-conn", variable(name="AIRFLOW_CONN_GITHUB", value="x"))


def _default(**settings: Any) -> Json:
    return blueprint(defaults=settings)


def _size(**settings: Any) -> Json:
    return blueprint(sizes=[{"name": "s", "defaults": settings}])


def _stage(**settings: Any) -> Json:
    return blueprint(stages=[{"stage": "dev", "defaults": settings}])


def _external() -> Json:
    return {"external": {"secret": {"name": "database"}}}


def _sources() -> Iterator[Case]:
    image = {"path": "/opt/airflow/dags"}
    source = {"url": "https://host/x", "ref": "main"}
    yield Case("no-source", bundle(), ONE_SOURCE)
    yield Case("two-sources", bundle(git=source, image=image), ONE_SOURCE)
    yield Case("image", bundle(image=image))
    same = [{"name": "main", "image": image}, {"name": "main", "git": source}]
    yield Case("same-name", environment(dags={"bundles": same}), "Duplicate value")
    other = [{"name": "main", "image": image}, {"name": "other", "git": source}]
    yield Case("two-bundles", environment(dags={"bundles": other}))
    for name in ("Main", "-main", "1main", "ma in", "a" * 41, ""):
        yield Case(f"bundle-name-{name}", bundle(name=name, image=image), "dags.bundles[0].name")
    yield Case("bundle-name-longest", bundle(name="a" * 40, image=image))
    for field, valid in ACCEPTED_SOURCES.items():
        yield from (Case(f"{field}-{value!r}", _with(field, value)) for value in valid)
    for (field, message), invalid in REFUSED_SOURCES.items():
        yield from (Case(f"{field}-{value!r}", _with(field, value), message) for value in invalid)


def _with(field: str, value: str) -> Json:
    return bundle(image={"path": value}) if field == "path" else git(**{field: value})


def _fields() -> Iterator[Case]:
    """Enumerations, bounds and patterns."""
    for stage in ("dev", "test", "preprod", "prod"):
        yield Case(f"stage-{stage}", environment(stage=stage))
    yield Case("stage", environment(stage="production"), 'Unsupported value: "production"')
    yield Case("no-stage", resource("AirflowEnvironment", {"className": "standard"}), "spec.stage: Required value")
    yield Case("no-class", resource("AirflowEnvironment", {"stage": "dev"}), "spec.className: Required value")
    yield Case("executor", environment(executor="CeleryExecutor"), "Unsupported value")
    yield Case("policy", environment(deletionPolicy="Retain"), "Unsupported value")
    access = {"persistentVolume": {"accessMode": "ReadWriteOncePod"}}
    yield Case("access-mode", environment(logs=access), "Unsupported value")
    yield Case("unknown-field", environment(imagine=1), 'unknown field "spec.imagine"')
    yield Case("unknown-deep", git(branch="main"), 'unknown field "spec.dags.bundles[0].git.branch"')
    yield Case("type", environment(config={"core": {"parallelism": 4}}), "must be of type string")

    yield Case("name-longest", environment("a" * 40))
    for name in ("a" * 41, "1a", "a.b"):
        yield Case(f"name-{name}", environment(name), AirflowEnvironment.RULES[0].message)
    for kind, make, model in (("tenant", tenant, AirflowTenant), ("class", blueprint, AirflowEnvironmentClass)):
        yield Case(f"{kind}-name-longest", make("a" * 63))
        for name in ("a" * 64, "1a", "a.b"):
            yield Case(f"{kind}-name-{name}", make(name), model.RULES[0].message)

    for cpu in ("1", "500m", "1.5", "0.5", "10", "2Gi"):
        yield Case(f"quantity-{cpu}", _cpu(cpu))
    wrong: tuple[Any, ...] = (
        "0",
        "0Gi",
        "0.0",
        "-1",
        "1e3",
        "Gi",
        "1gb",
        "01",
        "1.5.5",
        ".5",
        "500 m",
        "",
        1,
        "1" * 33,
    )
    yield from (Case(f"quantity-{cpu!r}", _cpu(cpu), "cpu") for cpu in wrong)
    yield from _bounds("replicas", lambda n: environment(components={"apiServer": {"replicas": n}}), 1, 10)
    yield from _bounds("triggerers", lambda n: environment(components={"triggerer": {"replicas": n}}), 0, 10)
    yield from _bounds("refresh", lambda n: git(refreshIntervalSeconds=n), 5, 86400)
    yield from _bounds("port", lambda n: _server(port=n), 1, 65535)
    yield from _bounds("ceiling", lambda n: blueprint(ceilings={"replicas": n}), 1, 10)
    lengths: dict[str, tuple[int, Callable[[int], Json]]] = {
        "class-name": (63, lambda n: environment(className="a" * n)),
        "value": (4096, lambda n: variable(value="x" * n)),
        "variable": (128, lambda n: variable(name="A" * n, value="")),
        "option": (4096, lambda n: environment(config={"core": {"x": "y" * n}})),
        "options": (64, lambda n: environment(config={"core": {f"x{i}": "" for i in range(n)}})),
        "sections": (32, lambda n: environment(config={f"x{i}": {} for i in range(n)})),
        "env": (64, lambda n: environment(env=[{"name": f"A{i}", "value": ""} for i in range(n)])),
        "pull-secrets": (8, lambda n: environment(image={"pullSecrets": [{"name": "a"}] * n})),
        "tolerations": (16, lambda n: environment(components={"workers": {"tolerations": [{}] * n}})),
        "template": (32768, lambda n: blueprint(valuesTemplate="x" * n)),
        "owners": (64, lambda n: tenant(owners=[{"kind": "User", "name": "a"}] * n)),
        "allowed-classes": (64, lambda n: tenant(allowedClasses=[f"a{i}" for i in range(n)])),
        "labels": (24, lambda n: tenant(labels={f"a{i}": "x" for i in range(n)})),
        "sizes": (16, lambda n: blueprint(sizes=[{"name": f"a{i}", "defaults": {}} for i in range(n)])),
    }
    for name, (most, make_n) in lengths.items():
        yield Case(f"{name}-at-bound", make_n(most))
        yield Case(f"{name}-above-bound", make_n(most + 1), str(most))

    yield Case("env-both", variable(value="x", secretKeyRef={"name": "a", "key": "b"}), ONE_VALUE)
    yield Case("env-secret", variable(secretKeyRef={"name": "a.b", "key": "B_c.d-e"}))
    yield Case("env-bad-key", variable(secretKeyRef={"name": "a", "key": "a/b"}), "key")
    yield Case("env-bad-secret", variable(secretKeyRef={"name": "../a", "key": "b"}), "name")
    for name in ("1A", "A-B", "A=B", "A\n", ""):
        yield Case(f"env-name-{name!r}", variable(name=name, value="x"), "env[0].name")
    yield Case("env-twice", environment(env=[{"name": "A", "value": "x"}] * 2), "Duplicate value")
    for image in ("-x", "a b", "a\n", "a;id", "a:", "A/b", "a" * 501, ""):
        yield Case(f"image-{image!r}", environment(image={"reference": image}), "reference")
    yield Case("image", environment(image={"reference": "registry:5000/a/b_c:1@sha256:0123"}))
    for size in ("1Gi", "10M", "2T"):
        yield Case(f"volume-{size}", environment(database={"embedded": {"size": size}}))
    for size in ("0Gi", "1.5Gi", "500m", "100", "1Pi", "1Ki", "12345678901Gi"):
        yield Case(f"volume-{size}", environment(logs={"persistentVolume": {"size": size}}), "persistentVolume.size")
    for text in ("two\nlines\tof gr\u00fcn, {{ braces }} and ${NAME}", ""):
        yield Case(f"text-{text!r}", environment(config={"core": {"x": text}}, env=[{"name": "A", "value": text}]))
    for text in ("\x00", "\x1b[31m", "a\rb", "\x85", "\u2028", "\ufeff"):
        yield Case(f"option-{text!r}", environment(config={"core": {"x": text}}), "spec.config.core.x")
        yield Case(f"value-{text!r}", variable(value=text), "spec.env[0].value")


def _cpu(cpu: Any) -> Json:
    return environment(components={"apiServer": {"resources": {"requests": {"cpu": cpu}}}})


def _server(**fields: Any) -> Json:
    server = {"name": "main", "host": "db.example.com", "adminSecret": {"namespace": "a", "name": "b"}}
    return blueprint(databaseServers=[{**server, **fields}])


def _bounds(name: str, make: Callable[[int], Json], least: int, most: int) -> Iterator[Case]:
    for number in (least, most):
        yield Case(f"{name}-{number}", make(number))
    yield Case(f"{name}-{least - 1}", make(least - 1), f"should be greater than or equal to {least}")
    yield Case(f"{name}-{most + 1}", make(most + 1), f"should be less than or equal to {most}")


def _platform() -> Iterator[Case]:
    """Tenants and classes."""
    yield Case("empty", tenant())
    yield Case("user", tenant(owners=[{"kind": "User", "name": "Jo <jo@example.com>"}]))
    yield Case("account", tenant(owners=[{"kind": "ServiceAccount", "name": "ci", "namespace": "team"}]))
    yield Case("lost-account", tenant(owners=[{"kind": "ServiceAccount", "name": "ci"}]), ONE_OWNER)
    yield Case("placed-user", tenant(owners=[{"kind": "User", "name": "jo", "namespace": "team"}]), ONE_OWNER)
    for role in ("editors", "viewers"):
        account = {"kind": "ServiceAccount", "name": "ci"}
        yield Case(f"account-{role}", resource("AirflowTenant", {role: [{**account, "namespace": "team"}]}))
        yield Case(f"lost-account-{role}", resource("AirflowTenant", {role: [account]}), ONE_OWNER)
    yield Case("robot", tenant(owners=[{"kind": "Robot", "name": "x"}]), "Unsupported value")
    yield Case("namespace-twice", tenant(namespaces=[{"name": "a"}] * 2), "Duplicate value")
    for reserved in ("default", "kube-system", "kube-x"):
        yield Case(f"namespace-{reserved}", tenant(namespaces=[{"name": reserved}]), NO_TENANTS, False)
    yield Case("namespace-like-the-systems", tenant(namespaces=[{"name": "default-x"}, {"name": "kubes"}]))
    for going in ("Refuse", "Orphan", "Delete"):
        yield Case(f"deletion-{going}", tenant(deletionPolicy=going))
    yield Case("deletion", tenant(deletionPolicy="Forbid"), "Unsupported value")
    yield Case("stages", tenant(namespaces=[{"name": "a", "stages": ["dev", "prod"]}, {"name": "b"}]))
    yield Case("stage-twice-of-namespace", tenant(namespaces=[{"name": "a", "stages": ["dev"] * 2}]), "Duplicate value")
    yield Case("no-stage", tenant(namespaces=[{"name": "a", "stages": []}]), "should have at least 1 items")
    yield Case("unknown-stage", tenant(namespaces=[{"name": "a", "stages": ["live"]}]), "Unsupported value")
    for kind, make in (("tenant", tenant), ("class", blueprint)):
        demand = {"key": "data-classification", "values": ["public", "internal"], "description": "how secret it is"}
        yield Case(f"required-{kind}", make(requiredLabels=[demand, {"key": "example.com/contact"}]))
        yield Case(f"required-twice-{kind}", make(requiredLabels=[demand] * 2), "Duplicate value")
        yield Case(f"required-nothing-{kind}", make(requiredLabels=[{**demand, "values": []}]), "at least 1 items")
        yield Case(f"required-key-{kind}", make(requiredLabels=[{"key": "a b"}]), "requiredLabels[0].key")
    rules = {"executors": ["KubernetesExecutor"], "exactVersion": True, "imageRegistries": ["registry:5000/airflow"]}
    rules |= {"pinnedRefs": True}
    rules |= {"gitRepositories": ["https://git.example.com/data/", "git@host:team"]}
    yield Case("policy", blueprint(policies=[{"stage": "prod", **rules}, {"stage": "dev"}]))
    yield Case("policy-twice", blueprint(policies=[{"stage": "prod"}] * 2), "Duplicate value")
    yield Case("policy-stage", blueprint(policies=[{"stage": "live"}]), "Unsupported value")
    yield Case("policy-executor", blueprint(policies=[{"stage": "dev", "executors": ["Celery"]}]), "Unsupported value")
    for key in ("executors", "imageRegistries", "gitRepositories"):
        yield Case(f"policy-{key}", blueprint(policies=[{"stage": "dev", key: []}]), "should have at least 1 items")
    for place in ("", "a b", "-a", "a\n"):
        policy = {"stage": "dev", "gitRepositories": [place]}
        yield Case(f"policy-{place!r}", blueprint(policies=[policy]), "gitRepositories[0]")
    yield Case("labels", environment(labels={"cost-centre": "4711", "example.com/a": ""}))
    long_keys = {"environment": environment, "tenant": tenant}
    for kind, make_labels in long_keys.items():
        labels = {f"{'a' * 254}/{'a' * 63}": "x"}
        yield Case(f"label-above-bound-{kind}", make_labels(labels=labels), short_keys(317)["message"])
    for key in ("airfield.dev/tenant", "app.kubernetes.io/name"):
        yield Case(f"label-{key}", environment(labels={key: "x"}), OWNED_LABELS)
    somewhere = {"cidr": "10.1.0.0/16", "ports": [443]}
    makers: dict[str, Callable[..., Json]] = {
        "tenant": lambda *egress: tenant(egress=list(egress)),
        "class": lambda *egress: blueprint(network={"egress": list(egress)}),
    }
    for where, make_egress in makers.items():
        yield Case(f"egress-{where}", make_egress(somewhere, {"namespace": "shared"}, {"cidr": "2001:db8::/32"}))
        yield Case(f"egress-nowhere-{where}", make_egress({"ports": [1]}), ONE_END)
        yield Case(f"egress-two-{where}", make_egress({**somewhere, "namespace": "shared"}), ONE_END)
        for cidr in ("10.1.2.3/16", "10.1.0.0/33", "1.2.3/8", "2001:db8::1/32"):
            yield Case(f"egress-{cidr}-{where}", make_egress({"cidr": cidr}), RANGE)
        yield Case(f"egress-port-{where}", make_egress({**somewhere, "ports": [0]}), "greater than or equal to 1")
        yield Case(f"egress-port-twice-{where}", make_egress({**somewhere, "ports": [1, 1]}), "Duplicate value")
    yield Case("network", blueprint(network={"ingressFrom": ["ingress"], "kubernetesApi": ["10.0.0.1/32"]}))
    yield Case("kubernetes", blueprint(network={"kubernetesApi": ["10.0.0.1/31"]}), RANGE)
    prices = {"currency": "EUR", "cpuHour": "0.0325", "memoryGibHour": "0", "storageGibMonth": "999999999.999999999"}
    yield Case("prices", blueprint(prices={**prices, "costCentreLabel": "example.com/cost-centre"}))
    yield Case("prices-none", blueprint(prices={"currency": "CHF"}))
    for currency in ("", "eur", "EURO", "E1R"):
        yield Case(f"currency-{currency!r}", blueprint(prices={"currency": currency}), "prices.currency")
    for price in ("", "-1", "1e3", ".5", "1.", "01", "1,5", "1 ", "NaN", "1234567890"):
        yield Case(f"price-{price!r}", blueprint(prices={**prices, "cpuHour": price}), "prices.cpuHour")
    yield Case("price-number", blueprint(prices={**prices, "cpuHour": 0.04}), "must be of type string")
    yield Case("cost-centre", blueprint(prices={**prices, "costCentreLabel": "a b"}), "prices.costCentreLabel")
    yield Case("class-twice", tenant(allowedClasses=["a", "a"]), "Duplicate value")
    yield Case("labels", tenant(labels={"cost-centre": "4711", "example.com/a": ""}))
    for key in ("airfield.dev/tenant", "app.kubernetes.io/name"):
        yield Case(f"label-{key}", tenant(labels={key: "x"}), OWNED_LABELS)
    yield Case("label-value", tenant(labels={"a": "x\ny"}), "labels.a")

    versions = [{"version": "3.3.2", "image": "a"}, {"version": "3.2.0", "image": "b"}]
    stable, unknown = {"name": "stable", "version": "3.2.0"}, {"name": "next", "version": "4.0.0"}
    yield Case("channel", blueprint(catalog={"versions": versions, "channels": [stable]}))
    yield Case("unknown", blueprint(catalog={"versions": versions, "channels": [stable, unknown]}), KNOWN_CHANNEL)
    yield Case("channel-twice", blueprint(catalog={"versions": versions, "channels": [stable] * 2}), "Duplicate value")
    yield Case("version-twice", blueprint(catalog={"versions": versions[:1] * 2}), "Duplicate value")
    yield Case("no-version", blueprint(catalog={"versions": []}), "should have at least 1 items")
    yield Case("size-twice", blueprint(sizes=[{"name": "a", "defaults": {}}] * 2), "Duplicate value")
    yield Case("stage-twice", blueprint(stages=[{"stage": "dev", "defaults": {}}] * 2), "Duplicate value")
    yield Case("chart", blueprint(chart={"source": "Internet"}), "Unsupported value")
    yield Case("server", _server(sslMode="require", maintenanceDatabase="postgres"))
    yield Case("ssl-mode", _server(sslMode="allow"), "Unsupported value")
    for host in ("-oops", "a b", "a/b", "a\n", "a?sslmode=disable", ""):
        yield Case(f"host-{host!r}", _server(host=host), "host")
    for database in ("a b", "a'", "a?b", "-a"):
        yield Case(f"maintenance-{database}", _server(maintenanceDatabase=database), "maintenanceDatabase")


def _oidc(**fields: Any) -> Json:
    oidc = {"issuer": "https://login.example.com/realms/company", "clientId": "airfield:{namespace}/{name}", **fields}
    return blueprint(identity={"oidc": oidc})


def _identity() -> Iterator[Case]:
    """Who may log in."""
    yield Case("provider", _oidc(sessionMinutes=60, usernameClaim="https://example.com/name", groupsClaim="groups"))
    yield Case("provider-egress", _oidc(egress=[{"cidr": "10.1.0.0/16", "ports": [443]}]))
    yield Case("provider-nowhere", _oidc(egress=[{"ports": [443]}]), ONE_END)
    yield Case("provider-range", _oidc(egress=[{"cidr": "10.1.2.3/16"}]), RANGE)
    for issuer in (
        "http://login.example.com",
        "https://a b",
        "https://host/?a=b",
        "https://host/#a",
        "https://u@h",
        "",
    ):
        yield Case(f"issuer-{issuer}", _oidc(issuer=issuer), "issuer")
    for text in ("airfield", "a{tenant}{stage}b{name}{namespace}"):
        yield Case(f"client-{text}", _oidc(clientId=text))
    for text in ("{", "}", "{user}", "{ name }", "{{name}}"):
        yield Case(f"client-{text}", _oidc(clientId=text), PLACEHOLDERS)
    for text in ("{namespace}/{name}", "x:{namespace}.{name}", "{tenant}|{name}_{namespace}"):
        yield Case(f"audience-{text}", _oidc(audience=text))
    for text in ("airfield", "{namespace}", "{name}", "{namespace}{name}", "{namespace}-{name}", "{name}/{namespace}x"):
        yield Case(f"audience-{text}", _oidc(audience=text), OWN_AUDIENCE)
    yield Case("audience-other", _oidc(audience="{namespace}/{name}{user}"), PLACEHOLDERS)
    for scopes, refusal in (((), "at least 1 items"), (("profile",), OPENID), (("openid", "a b"), "scopes[1]")):
        yield Case(f"scopes-{scopes}", _oidc(scopes=scopes), refusal)
    yield Case("scopes", _oidc(scopes=["openid", "groups", "api://x/.default"]))
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    yield Case("ca", _oidc(caBundle=certificate))
    yield Case("ca-none", _oidc(caBundle="AAAA"), PEM)
    yield Case("ca-code", _oidc(caBundle=certificate + "{{"), "caBundle")
    yield from _bounds("session", lambda n: _oidc(sessionMinutes=n), 5, 1440)
    makers: dict[str, Callable[..., Json]] = {"class": blueprint, "tenant": tenant, "environment": environment}
    for where, make in makers.items():
        grant = {"group": "airflow-{tenant}-owners", "role": "Op"}
        yield Case(f"roles-{where}", make(identity={"roles": [grant, {"group": "CN=a,DC=é", "role": "Viewer"}]}))
        yield Case(f"roles-twice-{where}", make(identity={"roles": [grant] * 2}), "Duplicate value")
        yield Case(
            f"roles-unknown-{where}", make(identity={"roles": [{**grant, "role": "Public"}]}), "Unsupported value"
        )
        yield Case(f"roles-brace-{where}", make(identity={"roles": [{**grant, "group": "{user}"}]}), PLACEHOLDERS)
    yield Case("client-secret", environment(identity={"clientSecretRef": {"name": "oidc", "key": "secret"}}))
    yield Case("provider-of-environment", environment(identity={"oidc": {}}), 'unknown field "spec.identity.oidc"')
    yield Case("highest-role", blueprint(identity={"highestRole": "Viewer"}))
    yield Case("highest-role-unknown", blueprint(identity={"highestRole": "admin"}), "Unsupported value")


def _exposure() -> Iterator[Case]:
    """How classes expose environments, and what environments say to that."""

    def exposing(**changes: Any) -> Json:
        return blueprint(exposure={"hostTemplate": "{name}.example.com", "ingress": {}, **changes})

    def secured(**tls: Any) -> Json:
        return exposing(ingress={"tls": tls})

    issuer = {"kind": "Issuer", "name": "ca"}
    gateway = {"name": "public", "namespace": "gateways", "sectionName": "https"}
    yield Case("ingress", exposing(ingress={"className": "public", "annotations": {"example.com/a": "b\nc"}}))
    too_long = {"ingress": {"annotations": {f"{'a' * 254}/{'a' * 63}": "x"}}}
    yield Case("annotation-above-bound", exposing(**too_long), short_keys(317)["message"])
    yield Case("gateway", blueprint(exposure={"hostTemplate": "{name}.example.com", "gateway": gateway}))
    yield Case("two-ways", exposing(gateway=gateway), ONE_WAY)
    yield Case("no-way", blueprint(exposure={"hostTemplate": "{name}.example.com"}), ONE_WAY)
    for template in ("{name}", "a-{name}-{namespace}.x.example.com", "{name}.{namespace}.{tenant}.{stage}", "x{name}1"):
        yield Case(f"host-{template}", exposing(hostTemplate=template))
    for template in (
        "-{name}.a",
        "{name}-.a",
        "{name}..a",
        "{other}-{name}",
        "{name}_a",
        "{Name}.{name}",
        "{name}.a/b",
        "",
    ):
        yield Case(f"host-{template}", exposing(hostTemplate=template), "spec.exposure.hostTemplate")
    yield Case("same-host", exposing(hostTemplate="airflow.example.com"), OWN_HOST)
    yield Case("issuer", secured(issuerRef=issuer))
    yield Case("cluster-issuer", secured(issuerRef={"name": "ca"}))
    yield Case("issuer-kind", secured(issuerRef={"kind": "Robot", "name": "ca"}), "Unsupported value")
    yield Case("secret", secured(secretName="{tenant}-wildcard.tls"))
    yield Case("secret-name", secured(secretName="{name}/tls"), "secretName")
    yield Case("two-certificates", secured(secretName="tls", issuerRef=issuer), ONE_CERTIFICATE)
    yield Case("no-certificate", secured(), ONE_CERTIFICATE)
    yield Case("suffixes", exposing(hostSuffixes=["example.com", "example.org"]))
    yield Case("suffix-twice", exposing(hostSuffixes=["example.com"] * 2), "Duplicate value")
    yield Case("suffix", exposing(hostSuffixes=["*.example.com"]), "hostSuffixes[0]")
    yield Case("suffix-of-tenants", exposing(hostSuffixes=["{tenant}.example.com"]))
    yield from _bounds("warning", lambda days: exposing(expiryWarningDays=days), 1, 365)
    yield Case("own", environment(exposure={"host": "team.example.com", "secretName": "team-tls"}))
    for host in ("*.example.com", "a b", "-a", "A.example.com", "a..b", "https://a", ""):
        yield Case(f"own-host-{host}", environment(exposure={"host": host}), "spec.exposure.host")
    yield Case("own-secret", environment(exposure={"secretName": "../a"}), "secretName")


CASES = (*_settings(), *_sources(), *_fields(), *_platform(), *_identity(), *_exposure())
ACCEPTED = [case for case in CASES if not case.refusal]
REFUSED = [case for case in CASES if case.refusal]
