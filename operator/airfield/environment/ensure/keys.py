"""The phase KeysReady: every Secret that the environment reads exists and can be used."""

import asyncio
import base64
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from airfield.airflow import keys as generate
from airfield.api import meta
from airfield.api.environment import KeyStatus
from airfield.environment.admit import Manifest
from airfield.environment.connections import connection_content, encoded, git_connection
from airfield.environment.ensure.run import Run
from airfield.environment.outcome import Done, Outcome, Stall
from airfield.environment.reasons import Reason
from airfield.environment.rollout import LABEL_DERIVED
from airfield.environment.secrets import (
    FIELDS,
    OPENS_AIRFLOW,
    Key,
    SecretFact,
    check_host,
    check_lengths,
    check_names,
    check_password,
    check_port,
    check_secrets,
    check_sslmode,
    connection_secret,
    fernet_fingerprints,
    fingerprint,
    generated_keys,
    missing_keys,
    references,
)
from airfield.environment.values import database_endpoint
from airfield.kube.errors import ApiError, ApiUnavailable
from airfield.kube.kinds import Ref
from airfield.kube.ownership import owned_labels
from airfield.postgres.names import database_name, role_name
from airfield.runtime.logs import redact

log = logging.getLogger(__name__)

Object = Mapping[str, Any]

PUBLIC_FIELDS = frozenset({"username", "host", "port", "database", "known_hosts", "jwks.json", "sslmode", "email"})
ADMIN = "admin"
DATABASE = "airflow"
"""Name of database and role in an embedded PostgreSQL."""


async def ensure_keys(run: Run) -> Outcome:
    """Create what is missing, derive what is made of others, and check the rest."""
    found = await _observe(run)
    accepted = run.environment.metadata.annotations.get(meta.ANNOTATION_ACCEPT_KEY_LOSS, "")
    missing = missing_keys(run.effective, run.facts, run.previous.keys, accepted=accepted)
    if isinstance(missing, Stall):
        return missing
    outcome = check_names(run.effective)
    if isinstance(outcome, Done):
        if Key.FERNET in missing:
            found.append(await _create(run, Key.FERNET))
            for secret in found:  # their fingerprints depend on it
                _learn(run, secret)
        found += await asyncio.gather(*(_create(run, key) for key in missing if key is not Key.FERNET))
        outcome = check_secrets(run.effective, run.facts)
    run.keys = _key_statuses(run)
    if not isinstance(outcome, Done):
        return outcome
    await _label(run, found)
    stall = await _derive(run)
    return stall or outcome


async def _observe(run: Run) -> list[Object]:
    """Read the generated Secrets and the user's; those that there are."""
    name, secrets = run.effective.name, run.doors.secrets
    generated = {key.secret(name) for key in generated_keys(run.effective)}
    given = {reference.secret for reference in references(run.effective)}
    derived = {connection_secret(name, bundle.name) for bundle in run.effective.bundles} | {Key.DATABASE.secret(name)}
    exposed = run.effective.exposed
    served = {exposed.secret} - {""} if exposed else set()  # of these it is only looked at, elsewhere
    run.versions = dict.fromkeys(generated | given | derived | served, "")
    secrets.read_by(run.key, run.versions)
    # What we make ourselves need not be looked for: making it finds out whether it has come into being since.
    sought = given | {each for each in generated if not secrets.absent(run.effective.namespace, each)}
    order = sorted(sought, key=lambda each: (each != Key.FERNET.secret(name), each))
    answers = await asyncio.gather(*(run.doors.kube.get(_secret(run, each)) for each in order))
    found: list[Object] = [secret for secret in answers if secret is not None]
    for secret in found:
        _learn(run, secret)
    return found


def _secret(run: Run, name: str) -> Ref:
    return Ref("v1", "Secret", run.effective.namespace, name)


def _learn(run: Run, secret: Object) -> None:
    name, data = secret["metadata"]["name"], secret.get("data") or {}
    run.versions[name] = secret["metadata"]["resourceVersion"]
    content: dict[str, str] = {}
    problem = None
    for field, value in data.items():
        try:
            content[field] = base64.b64decode(value).decode()
        except UnicodeDecodeError:
            problem = f"key {field!r} is not text"
    redact(_confidential(content))
    run.contents[name] = content
    key = next((key for key in Key if key.secret(run.effective.name) == name), None)
    if key is not None and key in generated_keys(run.effective):
        problem = problem or _problem(key, content) or _brought(run, key, secret)
    found = fingerprint(data, _pepper(run, name))
    generated = secret["metadata"].get("annotations", {}).get(meta.ANNOTATION_GENERATED) == found
    keys = fernet_fingerprints(content.get("fernet-key", "")) if name == Key.FERNET.secret(run.effective.name) else ()
    labels = secret["metadata"].get("labels", {})
    ours = meta.ANNOTATION_GENERATED in secret["metadata"].get("annotations", {}) or LABEL_DERIVED in labels
    made_for = labels.get(meta.LABEL_ENVIRONMENT, "") if ours else ""
    run.facts[name] = SecretFact(name, found, frozenset(content), generated, problem, keys, made_for)


def _pepper(run: Run, name: str) -> str:
    """What keys the fingerprint of a Secret."""
    fernet = Key.FERNET.secret(run.effective.name)
    return "" if name == fernet else run.contents.get(fernet, {}).get("fernet-key", "")


def _confidential(content: Mapping[str, str]) -> list[str]:
    """The values that no log may show; hiding hosts and user names too would only make the logs unreadable."""
    return [value for field, value in content.items() if field not in PUBLIC_FIELDS]


def _problem(key: Key, content: Mapping[str, str]) -> str | None:
    """What keeps a generated Secret, perhaps made or edited by somebody else, from being used."""
    lacking = [field for field in FIELDS[key] if not content.get(field)]
    if lacking:
        return f"lacks {', '.join(lacking)}"
    if key is Key.FERNET:
        return generate.check_fernet(content["fernet-key"])
    if key is Key.JWT:
        return generate.check_jwt(content["private.pem"], content["jwks.json"])
    if key is Key.DATABASE:
        return check_port(content["port"]) or check_password(content["password"])
    return None


def _brought(run: Run, key: Key, secret: Object) -> str | None:
    """Behind a provider nobody chooses who the administrator is, or what tokens are signed with."""
    made = meta.ANNOTATION_GENERATED in secret["metadata"].get("annotations", {})
    if run.effective.identity is None or key not in OPENS_AIRFLOW or made:
        return None
    return (
        "was not made by the operator; in a class with an OpenID Connect provider nobody else may make it: delete it,"
        " and there will be a new one"
    )


async def _create(run: Run, key: Key) -> Object:
    """Make a generated Secret, unless somebody brings it at that moment; the one that is there now."""
    name = key.secret(run.effective.name)
    content = _generated(run, key)
    redact(_confidential(content))
    data = encoded(content)
    stamp = {meta.ANNOTATION_GENERATED: fingerprint(data, _pepper(run, name))}
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {**run.metadata(name, owned=False), "annotations": stamp},
        "data": data,
    }
    created = await run.doors.kube.create(manifest)
    if created is None:  # somebody was faster, or brought a key of their own
        created = await run.doors.kube.get(_secret(run, name))
        if created is None:
            raise ApiUnavailable(f"create Secret {run.effective.namespace}/{name}: it exists, and it does not")
    else:
        log.info("created Secret %s", name)
    run.doors.inventory.observe(created)
    _learn(run, created)
    return created


async def _label(run: Run, found: Sequence[Object]) -> None:
    """Bring the labels of generated Secrets to what they should be, whoever made or edited them.

    Without them their deletion or change would not be seen. Labels that others have added stay.
    """
    ours = {key.secret(run.effective.name) for key in generated_keys(run.effective)}
    for secret in found:
        name, labels = secret["metadata"]["name"], secret["metadata"].get("labels", {})
        wanted = run.metadata(name, owned=False)["labels"]
        stale = (owned_labels(secret) & labels.keys()) - wanted.keys()
        if name not in ours or (wanted.items() <= labels.items() and not stale):
            continue
        live = await run.doors.kube.patch(
            _secret(run, name), {"metadata": {"labels": {**wanted, **dict.fromkeys(stale)}}}
        )
        if live is not None:
            log.info("labelled Secret %s", name)
            run.doors.inventory.observe(live)
            run.versions[name] = live["metadata"]["resourceVersion"]


def _generated(run: Run, key: Key) -> dict[str, str]:
    match key:
        case Key.FERNET:
            return {"fernet-key": generate.fernet_key()}
        case Key.API:
            return {"secret-key": generate.api_secret_key()}
        case Key.JWT:
            private, jwks = generate.jwt_keys()
            return {"private.pem": private, "jwks.json": jwks}
        case Key.ADMIN:
            return {"username": ADMIN, "password": generate.password()}
        case Key.DATABASE:
            endpoint = database_endpoint(run.effective)
            on_server = run.effective.server is not None
            names = run.effective.namespace, run.effective.name
            return connection_content(
                host=endpoint.host,
                port=str(endpoint.port),
                database=database_name(*names) if on_server else DATABASE,
                username=role_name(*names) if on_server else DATABASE,
                password=generate.password(32),
            )


async def _derive(run: Run) -> Stall | None:
    """Secrets made out of the user's: git connections in Airflow's form, the contract of an external database."""
    for bundle in run.effective.bundles:
        credentials = bundle.git.credentials_secret if bundle.git else None
        if credentials is not None and credentials.name in run.contents:
            name = connection_secret(run.effective.name, bundle.name)
            given = run.contents[credentials.name]
            content = {"connection": json.dumps(git_connection(bundle, given))}
            content |= {"known_hosts": given["known_hosts"]} if "known_hosts" in given else {}
            run.derived.append(_derived(run, name, content))
    database = run.effective.settings.database
    if database is not None and database.external is not None and database.external.secret.name in run.contents:
        given = run.contents[database.external.secret.name]
        port, sslmode = given.get("port", "5432"), given.get("sslmode", "prefer")
        problem = check_host(given["host"]) or check_port(port) or check_sslmode(sslmode) or check_lengths(given)
        if problem is not None:
            said = f"database.external.secret: Secret {database.external.secret.name!r}: {problem}; correct it"
            return Stall(Reason.SECRET_INVALID, said, after=15)
        wanted = {field: given[field] for field in ("host", "database", "username", "password")}
        content = {**connection_content(port=port, **wanted), "sslmode": sslmode}
        run.derived.append(_derived(run, Key.DATABASE.secret(run.effective.name), content))
    for manifest in run.derived:
        try:
            await _apply(run, manifest)
        except ApiError as error:
            if error.transient:
                raise
            return Stall(Reason.APPLY_REFUSED, error.message, after=30)
    return None


async def _apply(run: Run, manifest: Manifest) -> None:
    """Bring a derived Secret to what it should be. Its content is compared, so that it need not be remembered."""
    ref = Ref.of(manifest)
    live: Mapping[str, Any] | None = await run.doors.kube.get(ref)
    if live is not None:
        run.refuse_foreign(live)
    if live is None or not _holds(live, manifest):
        live = await (run.make(manifest) if live is None else run.doors.kube.apply(manifest))
        log.info("applied %s", ref)
    run.doors.inventory.observe(live)
    _learn(run, live)


def _holds(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a Secret has the content, the labels and the owner that it should have."""
    metadata, mine = live["metadata"], wanted["metadata"]
    owners = {owner["uid"] for owner in metadata.get("ownerReferences", [])}
    return bool(
        live.get("data") == wanted["data"]
        and mine["labels"].items() <= metadata.get("labels", {}).items()
        and owned_labels(live) & metadata.get("labels", {}).keys() <= mine["labels"].keys()
        and {owner["uid"] for owner in mine["ownerReferences"]} <= owners
    )


def _derived(run: Run, name: str, content: Mapping[str, str]) -> dict[str, Any]:
    redact(_confidential(content))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": run.metadata(name, owned=True, **{LABEL_DERIVED: "true"}),
        "data": encoded(content),
    }


def _key_statuses(run: Run) -> dict[str, KeyStatus]:
    """The Secrets that exist now and can be used. Two count only when their passwords hold elsewhere too."""
    known = {key.name: key for key in run.previous.keys}
    for key in Key:
        fact = run.facts.get(key.secret(run.effective.name))
        if fact is not None and fact.problem is None and key not in {Key.ADMIN, Key.DATABASE}:
            shown = fact.keys[0] if fact.keys else fact.fingerprint
            known[key.value] = KeyStatus(name=key.value, secret=fact.name, fingerprint=shown)
    return known
