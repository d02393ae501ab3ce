"""The Secrets of an environment: which are generated, which are asked of the user, which are missing or lost.

Generated Secrets are created once and never rendered again. Their content is only ever looked at to check what somebody
else put there; what decisions see of a Secret is a fingerprint.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from airfield.api.environment import KeyStatus
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.reasons import Reason
from airfield.environment.resolve import Effective


class Key(StrEnum):
    """The generated Secrets, by their role. The Secret of `fernet` in environment `demo` is called `demo-fernet`."""

    FERNET = "fernet"
    API = "api"
    JWT = "jwt"
    ADMIN = "admin"
    DATABASE = "database"

    def secret(self, environment: str) -> str:
        return f"{environment}-{self.value}"


FIELDS: Final[Mapping[Key, tuple[str, ...]]] = {
    Key.FERNET: ("fernet-key",),
    Key.API: ("secret-key",),
    Key.JWT: ("private.pem", "jwks.json"),
    Key.ADMIN: ("username", "password"),
    Key.DATABASE: ("uri", "host", "port", "database", "username", "password"),
}

OPENS_AIRFLOW: Final = frozenset({Key.ADMIN, Key.API, Key.JWT})
"""Who knows one of these can be anybody in Airflow."""
IRREPLACEABLE: Final = frozenset({Key.FERNET})
"""Without the Fernet key every stored connection and variable is unreadable: a new one is no substitute."""


def fingerprint(data: Mapping[str, str], pepper: str) -> str:
    """First 16 hex digits of an HMAC-SHA-256 over the base64 content of a Secret: tells a change, reveals nothing.

    `pepper`: the environment's Fernet key, so that nobody can try passwords against a fingerprint in a status or on a
    pod; "" for the Fernet key itself, which is too long to be tried.
    """
    text = "\n".join(f"{key}={data[key]}" for key in sorted(data))
    return hmac.new(pepper.encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def fernet_fingerprints(text: str) -> tuple[str, ...]:
    """The fingerprint of each key of a `[core] fernet_key`; that of a single one is the fingerprint of its Secret."""
    keys = [key.strip() for key in text.split(",")]
    return tuple(fingerprint({FIELDS[Key.FERNET][0]: b64encode(key.encode()).decode()}, "") for key in keys if key)


@dataclass(frozen=True, slots=True)
class SecretFact:
    """What is known of an existing Secret."""

    name: str
    fingerprint: str
    fields: frozenset[str]
    """Its keys whose values are text."""
    as_generated: bool = False
    """Nobody has changed it since it was generated."""
    problem: str | None = None
    """Why the content cannot be used, for generated Secrets that somebody else made or changed."""
    keys: tuple[str, ...] = ()
    """Of a Fernet Secret: a fingerprint for each key, the one that encrypts first."""
    made_for: str = ""
    """The environment that the operator made it for; "" for one that is somebody else's."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A Secret that a user's field points to, and the fields that it must have (one of several sets)."""

    field: str
    secret: str
    needs: tuple[tuple[str, ...], ...]


def references(effective: Effective) -> Iterator[Reference]:
    """Every Secret that the specification refers to and that somebody else makes."""
    for bundle in effective.bundles:
        if bundle.git is not None and bundle.git.credentials_secret is not None:
            yield Reference(
                f"dags.bundles[{bundle.name}].git.credentialsSecret",
                bundle.git.credentials_secret.name,
                (("password",), ("ssh-privatekey",)),
            )
    for variable in effective.settings.env or ():
        if variable.secret_key_ref is not None:
            reference = variable.secret_key_ref
            yield Reference(f"env[{variable.name}].secretKeyRef", reference.name, ((reference.key,),))
    identity = effective.identity
    if identity is not None and identity.client_secret is not None:
        reference = identity.client_secret
        yield Reference("identity.clientSecretRef", reference.name, ((reference.key,),))
    database = effective.settings.database
    if database is not None and database.external is not None:
        yield Reference(
            "database.external.secret", database.external.secret.name, (("host", "database", "username", "password"),)
        )


def missing_keys(
    effective: Effective, facts: Mapping[str, SecretFact], known: Sequence[KeyStatus], *, accepted: str
) -> tuple[Key, ...] | Stall:
    """The generated Secrets to create now; or a stall when one is gone, or another, that nothing can replace.

    `accepted`: fingerprint of the key whose loss a person has accepted; it does not cover the next loss.
    """
    once_there = {key.name: key.fingerprint for key in known}
    for key in generated_keys(effective):
        lost = once_there.get(key.value)
        if key in IRREPLACEABLE and lost not in {None, accepted}:
            secret = key.secret(effective.name)
            problem = _loss(facts.get(secret), lost)
            if problem is not None:
                return Stall(
                    Reason.KEY_LOST,
                    f"Secret {secret!r} {problem}; if that is impossible, `kubectl annotate afenv {effective.name}"
                    f" airfield.dev/accept-key-loss={lost}` goes on with a new one and gives up what the old one"
                    " encrypted",
                )
    return tuple(key for key in generated_keys(effective) if key.secret(effective.name) not in facts)


def _loss(fact: SecretFact | None, known: str | None) -> str | None:
    """How the key that encrypted last has gone, and what to do; None when it is there, as any key of the list.

    A key may be rotated: "new,old" until everything is encrypted again, then "new".
    """
    if fact is None:
        return (
            "was deleted: connections and variables encrypted with it cannot be read without it."
            " Restore it from a backup"
        )
    if fact.problem is not None or known in {fact.fingerprint, *fact.keys}:
        return None
    return (
        "now holds another key: connections and variables encrypted with the former one cannot be read without it. Put"
        " it back, alone or after the new one (fernet-key: NEW,FORMER)"
    )


def generated_keys(effective: Effective) -> tuple[Key, ...]:
    """The Secrets that are generated for this environment; that of an external database is derived from the user's."""
    return tuple(key for key in Key if key is not Key.DATABASE or effective.database_mode != "external")


def check_names(effective: Effective) -> Outcome:
    """Whether the user's Secrets have other names than the ones that the operator makes, and would take for its own."""
    ours = {key.secret(effective.name) for key in Key}
    ours |= {connection_secret(effective.name, bundle.name) for bundle in effective.bundles}
    if effective.exposed is not None and effective.exposed.secret in ours:
        return Stall(
            Reason.SECRET_INVALID,
            f"{effective.exposed.secret!r}, of exposure, is the name of a Secret that the operator makes for this"
            " environment; give the one with the certificate another name",
        )
    for reference in references(effective):
        if reference.secret in ours:
            return Stall(
                Reason.SECRET_INVALID,
                f"{reference.field}: {reference.secret!r} is the name of a Secret that the operator makes for this"
                " environment; give yours another name",
            )
    return Done()


def connection_secret(environment: str, bundle: str) -> str:
    """The Secret that holds the Airflow connection of a git bundle, made from the user's credentials."""
    return f"{environment}-git-{bundle}"


def check_secrets(effective: Effective, facts: Mapping[str, SecretFact]) -> Outcome:
    """Whether every Secret that the environment reads is there and can be used."""
    for key in Key:
        fact = facts.get(key.secret(effective.name))
        if fact is not None and fact.problem is not None:
            return Stall(
                Reason.SECRET_INVALID,
                f"Secret {fact.name!r}: {fact.problem}. Correct it, or delete it if nothing depends on it",
                after=15,
            )
    for reference in references(effective):
        fact = facts.get(reference.secret)
        where = f"{reference.field}: Secret {reference.secret!r}"
        if fact is None:
            return Wait(
                Reason.SECRET_NOT_FOUND,
                f"{where} does not exist in namespace {effective.namespace!r}; create it",
                after=5,
            )
        if fact.made_for and not reference.field.startswith("database"):  # an orphaned database may be wanted again
            return Stall(
                Reason.SECRET_INVALID,
                f"{where} is one that the operator makes for environment {fact.made_for!r}: it is for that one alone;"
                " name one of your own",
                after=15,
            )
        if not any(fact.fields.issuperset(needed) for needed in reference.needs):
            wanted = " or ".join(", ".join(needed) for needed in reference.needs)
            return Wait(Reason.SECRET_NOT_FOUND, f"{where} lacks the key {wanted}, as text; add it", after=5)
    return Done()


def check_sslmode(text: str) -> str | None:
    """What is wrong with the sslmode in a database's Secret, None when nothing is."""
    known = ("disable", "prefer", "require")  # the modes that need no file
    return None if text in known else f"sslmode is not one of {', '.join(known)}"


def check_host(text: str) -> str | None:
    """What is wrong with the host in a database's Secret: one name or address it must be, no list and no path."""
    if re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9])?", text):
        return None
    return "host is not the name or the address of one machine"


def check_password(text: str) -> str | None:
    """What is wrong with a password that is to be set on a server: its hash is only defined for printable ASCII."""
    return None if text.isascii() and text.isprintable() else "password has characters other than printable ASCII"


def check_lengths(content: Mapping[str, str]) -> str | None:
    """What is too long in a database's Secret to be an address, None when nothing is."""
    most = {"database": 63, "username": 63}
    return next(
        (f"{field} is longer than {n} characters" for field, n in most.items() if len(content[field]) > n), None
    )


def check_port(text: str) -> str | None:
    """What is wrong with the port in a database's Secret, None when nothing is."""
    if text.isascii() and text.isdecimal() and 0 < int(text[:6]) <= 65535:
        return None
    return "port is not a number from 1 to 65535"
