"""Who somebody is, by the word of the environment's OpenID Connect provider, and which Airflow roles that gives.

Signatures, issuer, audience and time are PyJWT's to check. Nothing of a token is believed before, its choice of an
algorithm least of all.
"""
# ruff: noqa: INP001 - a file of a ConfigMap

import hashlib
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key. With HS256 a public key would do as the secret."""
LEEWAY_SECONDS = 30
MOST_CHARACTERS = 32768  # a token with hundreds of groups has ten thousand
MOST_OF_A_NAME = 250
UNUSABLE = "!"
"""A hash that begins with it fits no password."""


class Refused(Exception):  # noqa: N818 - the word for people
    """Why somebody is not let in, in words for themselves: nothing that they do not know already."""


@dataclass(frozen=True)
class Settings:
    """identity.json, as the chart writes it."""

    issuer: str
    client_id: str
    audience: str
    """What tokens for the REST API must be for; "" where there is no way to tell environments apart."""
    username_claim: str
    subject_claim: str
    groups_claim: str
    scopes: tuple[str, ...]
    roles: Mapping[str, str]
    """Group → role of Airflow."""
    ca: str
    """Path of the file with the provider's certificate authorities; "" for those of the image."""

    @classmethod
    def read(cls, folder: Path) -> "Settings":
        found = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        return cls(
            issuer=found["issuer"],
            client_id=found["clientId"],
            audience=found["audience"],
            username_claim=found["usernameClaim"],
            subject_claim=found["subjectClaim"],
            groups_claim=found["groupsClaim"],
            scopes=tuple(found["scopes"]),
            roles=found["roles"],
            ca=str(folder / "ca.pem") if (folder / "ca.pem").exists() else "",
        )


@dataclass(frozen=True)
class Person:
    """Somebody, or a service account, with the names of their roles: none is a stranger."""

    username: str
    subject: str
    """What the provider knows them by for good, whatever they are called."""
    first_name: str
    last_name: str
    roles: frozenset[str]


def person(claims: Mapping[str, Any], settings: Settings) -> Person:
    """Read verified claims. Raises Refused where they name nobody."""
    username = claims.get(settings.username_claim)
    if not isinstance(username, str) or not username.strip() or not username.isprintable():
        raise Refused(
            f"The provider does not say who you are: its token has no usable claim {settings.username_claim!r}."
        )
    if len(username) > MOST_OF_A_NAME:
        raise Refused(f"Your name, {username[:20]!r}…, is longer than {MOST_OF_A_NAME} characters.")
    subject = claims.get(settings.subject_claim)
    if not isinstance(subject, str) or not subject:
        raise Refused(
            f"The provider does not say for good who you are: its token has no usable claim {settings.subject_claim!r}."
        )
    groups = claims.get(settings.groups_claim)
    groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Person(
        username=username,
        subject=subject,
        first_name=_text(claims.get("given_name")) or username,
        last_name=_text(claims.get("family_name")),
        roles=frozenset(
            settings.roles[group] for group in groups if isinstance(group, str) and group in settings.roles
        ),
    )


def mark(subject: str, settings: Settings) -> str:
    """What an account keeps in place of a password's hash, which it is none of: by whose word it is whose."""
    return f"{UNUSABLE}{_digest(f'{settings.issuer} {settings.subject_claim}')}:{_digest(subject)}"


def of_another(kept: str, mine: str) -> bool:
    """Whether an account with that mark was made for another person of the same provider.

    One without a mark is older than marks, or than the provider. One of another provider, or by another claim, moves.
    """
    return kept != mine and kept.partition(":")[0] == mine.partition(":")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _text(value: Any) -> str:
    return value[:MOST_OF_A_NAME] if isinstance(value, str) and value.isprintable() else ""


class Verifier:
    """Checks tokens of the provider. `metadata` gives its discovery document; asked when the first token comes."""

    def __init__(self, settings: Settings, metadata: Callable[[], Mapping[str, Any]]) -> None:
        self._settings = settings
        self._metadata = metadata
        self._keys: jwt.PyJWKClient | None = None

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token that the provider made for `audience`. Raises Refused."""
        if not audience or len(token) > MOST_CHARACTERS:
            raise Refused("The token is not for this environment.")
        try:
            if jwt.get_unverified_header(token).get("alg") not in ALGORITHMS:
                raise Refused("The token is not signed by a private key.")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._known_keys().get_signing_key_from_jwt(token),
                algorithms=list(ALGORITHMS),
                issuer=self._settings.issuer,
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "aud", "exp", "iat", "sub"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise Refused("The provider does not answer.") from error
        except (jwt.InvalidTokenError, jwt.PyJWKClientError, jwt.PyJWKSetError) as error:
            raise Refused(f"The token is not valid here: {error}.") from error
        return claims

    def _known_keys(self) -> jwt.PyJWKClient:
        if self._keys is None:
            metadata = self._metadata()
            if metadata.get("issuer") != self._settings.issuer:
                raise Refused("The provider calls itself by another name than the environment does.")
            uri = metadata["jwks_uri"]
            if not uri.startswith("https:"):
                raise Refused("The provider's keys are not protected by https.")
            context = ssl.create_default_context(cafile=self._settings.ca or None)
            self._keys = jwt.PyJWKClient(uri, ssl_context=context, timeout=10)
        return self._keys
