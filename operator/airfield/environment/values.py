"""What the template of the environment chart's values can use, out of the resolved specification. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airfield.api.dags import REFRESH_SECONDS, DagBundle
from airfield.api.network import in_namespace
from airfield.environment.exposure import Exposed
from airfield.environment.identity import Identity
from airfield.environment.resolve import EMBEDDED, Effective
from airfield.environment.secrets import Key, connection_secret


def schema_revision(version: str, image: str) -> str:
    """Names a database schema: the Airflow image is what defines it."""
    return hashlib.sha256(f"{version}\n{image}".encode()).hexdigest()[:10]


def revision(effective: Effective) -> str:
    """Names the database schema that an environment needs."""
    return schema_revision(effective.version, effective.image)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a database answers, and how libpq is to protect the connection."""

    host: str
    port: int = 5432
    sslmode: str = "prefer"


def database_endpoint(effective: Effective) -> Endpoint:
    """Where the environment's own PostgreSQL, or the class's server, answers."""
    server = effective.server
    if server is not None:
        return Endpoint(server.host, server.port, server.ssl_mode.value)
    return Endpoint(f"{effective.name}-db.{effective.namespace}.svc")


def context(
    effective: Effective,
    digests: Mapping[str, str],
    *,
    operator_namespace: str,
    external: Endpoint | None = None,
) -> dict[str, Any]:
    """What a values template can use.

    `digests` has a fingerprint for each Secret that the environment reads, `external` the database of a user's Secret.
    """
    settings = effective.settings.to_json()
    image = settings.get("image", {})
    embedded = settings["database"].get("embedded") or {}
    endpoint = external or database_endpoint(effective)
    return {
        "environment": {
            "name": effective.name,
            "namespace": effective.namespace,
            "tenant": effective.tenant,
            "className": effective.class_name,
            "stage": effective.stage.value,
            "labels": dict(effective.labels),
            "version": effective.version,
            "image": effective.image,
            "pullSecrets": [secret["name"] for secret in image.get("pullSecrets", [])],
            "executor": effective.executor.value,
            "config": settings.get("config", {}),
            "env": list({v["name"]: v for v in (*map(_variable, settings.get("env", [])), *_ssl(endpoint))}.values()),
            "bundles": [_bundle(effective.name, bundle) for bundle in effective.bundles],
            "components": settings["components"],
            "logs": settings["logs"]["persistentVolume"],
        },
        "database": {
            "mode": effective.database_mode,
            "host": endpoint.host,
            "port": endpoint.port,
            "image": effective.postgres_image,
            "size": embedded.get("size", EMBEDDED["size"]),
            "storageClassName": embedded.get("storageClassName", ""),
            "resources": embedded.get("resources", {}),
        },
        "exposure": _exposure(effective.exposed) if effective.exposed else {},
        "network": {
            "egress": [egress.rule() for egress in effective.network.egress],
            "ingressFrom": [in_namespace(name) for name in effective.network.ingress_from],
            "kubernetesApi": list(effective.network.kubernetes_api),
        },
        "identity": _identity(effective.identity) if effective.identity else {},
        "secrets": {key.value: key.secret(effective.name) for key in Key if key is not Key.ADMIN},
        "digests": dict(digests),
        "revision": revision(effective),
        "operator": {"namespace": operator_namespace},
    }


def _identity(identity: Identity) -> dict[str, Any]:
    provider, secret = identity.provider, identity.client_secret
    return {
        "issuer": provider.issuer,
        "clientId": identity.client_id,
        "clientSecret": secret.to_json() if secret else {},
        "audience": identity.audience,
        "usernameClaim": provider.username_claim,
        "subjectClaim": provider.subject_claim,
        "groupsClaim": provider.groups_claim,
        "scopes": list(provider.scopes),
        "caBundle": provider.ca_bundle or "",
        "roles": {group: role.value for group, role in sorted(identity.roles.items())},
        "sessionMinutes": provider.session_minutes,
        "egress": [egress.rule() for egress in provider.egress],
    }


def _exposure(exposed: Exposed) -> dict[str, Any]:
    if exposed.gateway is not None:
        return {"host": exposed.host, "gateway": exposed.gateway.to_json()}
    given = exposed.ingress.to_json() if exposed.ingress else {}
    ingress = {key: value for key, value in given.items() if key in {"className", "annotations"}}
    issuer = {"kind": exposed.issuer.kind.value, "name": exposed.issuer.name} if exposed.issuer else {}
    return {"host": exposed.host, "ingress": {**ingress, "secretName": exposed.secret, "issuer": issuer}}


def _variable(variable: Mapping[str, Any]) -> dict[str, Any]:
    if "secretKeyRef" in variable:
        return {"name": variable["name"], "secret": variable["secretKeyRef"]}
    return {"name": variable["name"], "value": variable["value"]}


def _ssl(endpoint: Endpoint) -> list[dict[str, str]]:
    """Both libpq and asyncpg read PGSSLMODE, while each spells the option in a URL differently."""
    return [] if endpoint.sslmode == "prefer" else [{"name": "PGSSLMODE", "value": endpoint.sslmode}]


def _bundle(environment: str, bundle: DagBundle) -> dict[str, Any]:
    if bundle.image is not None:
        return {"name": bundle.name, "local": {"path": bundle.image.path, "refreshIntervalSeconds": 60}}
    git = bundle.git
    if git is None:
        raise ValueError(f"bundle {bundle.name!r} has no source")  # resolve refuses it
    return {
        "name": bundle.name,
        "git": {
            "url": git.url,
            "ref": git.ref,
            "subdir": git.subdir or "",
            "refreshIntervalSeconds": git.refresh_interval_seconds or REFRESH_SECONDS,
            "connectionSecret": connection_secret(environment, bundle.name) if git.credentials_secret else "",
        },
    }
