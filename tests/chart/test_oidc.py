"""files/identity/airfield_oidc.py: tokens that are no tokens of ours, and whom a token names."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from chart.conftest import modules

Json = dict[str, Any]
ISSUER, AUDIENCE = "https://login.example.com/realms/company", "airfield:team-a/demo"
KEYS_URL = f"{ISSUER}/keys"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
JWKS = {
    "keys": [
        {
            **jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True),
            "kid": "rsa",
            "use": "sig",
            "alg": "RS256",
        },
        {**jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec", "use": "sig"},
        {**jwt.algorithms.RSAAlgorithm.to_jwk(STRANGE.public_key(), as_dict=True), "kid": "encrypts", "use": "enc"},
    ]
}


@pytest.fixture(scope="module")
def oidc() -> Iterator[ModuleType]:
    with modules("files/identity", "airfield_oidc") as (module,):
        yield module


@pytest.fixture(autouse=True)
def provider(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The provider's keys, and how often they were asked for."""
    asked: list[str] = []

    def fetch(client: jwt.PyJWKClient) -> Json:
        asked.append(client.uri)
        assert client.jwk_set_cache is not None
        client.jwk_set_cache.put(JWKS)
        client._last_successful_fetch = time.monotonic()
        return JWKS

    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", fetch)
    return asked


def settings(oidc: ModuleType, **changed: Any) -> Any:
    given: Json = {
        "issuer": ISSUER,
        "client_id": AUDIENCE,
        "audience": AUDIENCE,
        "username_claim": "preferred_username",
        "subject_claim": "sub",
        "groups_claim": "groups",
        "scopes": ("openid",),
        "roles": {"owners": "Op", "support": "Viewer"},
        "ca": "",
    }
    return oidc.Settings(**{**given, **changed})


def verifier(oidc: ModuleType, **metadata: str) -> Any:
    found = {"issuer": ISSUER, "jwks_uri": KEYS_URL, **metadata}
    return oidc.Verifier(settings(oidc), lambda: found)


def claims(**changed: Any) -> Json:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "1", "iat": now, "exp": now + 300, "preferred_username": "olga"}
    return {key: value for key, value in {**given, **changed}.items() if value is not None}


def signed(content: Mapping[str, Any], key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa") -> str:
    return jwt.encode(dict(content), key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def by_hand(head: Json, content: Json, signature: bytes = b"") -> str:
    """What no library would make."""
    parts = (json.dumps(head).encode(), json.dumps(content).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def hs256(content: Json) -> str:
    """Signed with the public key, as if that were a secret: PyJWT itself refuses to."""
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    body = by_hand({"alg": "HS256", "kid": "rsa"}, content).rpartition(".")[0]
    mac = hmac.new(PUBLIC_PEM, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")], ids=["rsa", "ec"])
@pytest.mark.parametrize("audience", [AUDIENCE, ["account", AUDIENCE]], ids=["one", "several"])
def test_a_token_of_the_provider(oidc: ModuleType, key: Any, algorithm: str, kid: str, audience: Any) -> None:
    token = signed(claims(aud=audience), key, algorithm, kid)
    assert verifier(oidc).claims(token, AUDIENCE)["preferred_username"] == "olga"


HOSTILE: dict[str, Callable[[], str]] = {
    "another issuer": lambda: signed(claims(iss="https://login.example.com/realms/other")),
    "an issuer that begins alike": lambda: signed(claims(iss=f"{ISSUER}/")),
    "another environment": lambda: signed(claims(aud="airfield:team-b/demo")),
    "an audience that contains ours": lambda: signed(claims(aud=f"{AUDIENCE}x")),
    "for nobody": lambda: signed(claims(aud=None)),
    "for an empty list": lambda: signed(claims(aud=[])),
    "expired": lambda: signed(claims(exp=int(time.time()) - 60)),
    "without an end": lambda: signed(claims(exp=None)),
    "without a beginning": lambda: signed(claims(iat=None)),
    "about nobody": lambda: signed(claims(sub=None)),
    "from tomorrow": lambda: signed(claims(nbf=int(time.time()) + 86400)),
    "issued tomorrow": lambda: signed(claims(iat=int(time.time()) + 86400)),
    "another key": lambda: signed(claims(), STRANGE),
    "a key for encryption": lambda: signed(claims(), STRANGE, kid="encrypts"),
    "an unknown key": lambda: signed(claims(), STRANGE, kid="of-mine"),
    "no key id": lambda: signed(claims(), RSA, kid=None),
    "no signature": lambda: jwt.encode(claims(), None, algorithm="none", headers={"kid": "rsa"}),  # type: ignore[arg-type]
    "no signature, spelled otherwise": lambda: by_hand({"alg": "nOnE", "kid": "rsa"}, claims()),
    "an algorithm that is a list": lambda: by_hand({"alg": ["RS256"], "kid": "rsa"}, claims()),
    "no algorithm": lambda: by_hand({"kid": "rsa"}, claims()),
    "the public key as a secret": lambda: hs256(claims()),
    "another algorithm of the key": lambda: signed(claims(), RSA, "RS512"),
    "a key of its own": lambda: by_hand(
        {"alg": "RS256", "jwk": jwt.algorithms.RSAAlgorithm.to_jwk(STRANGE.public_key(), as_dict=True)}, claims()
    ),
    "keys from elsewhere": lambda: by_hand({"alg": "RS256", "kid": "rsa", "jku": "https://evil.example.com"}, claims()),
    "unknown critical header": lambda: jwt.encode(
        claims(), RSA, "RS256", headers={"kid": "rsa", "crit": ["x"], "x": 1}
    ),
    "not a token": lambda: "token",
    "nothing": lambda: "",
    "too long": lambda: signed(claims(groups=["g" * 100] * 500)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_tokens_that_are_none(oidc: ModuleType, provider: list[str], what: str) -> None:
    with pytest.raises(oidc.Refused):
        verifier(oidc).claims(HOSTILE[what](), AUDIENCE)
    assert set(provider) <= {KEYS_URL}


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_text_makes_a_traceback(text: str) -> None:
    with modules("files/identity", "airfield_oidc") as (oidc,):
        for token in (text, f"{text}.{text}.{text}", f"{signed(claims())}{text}x", f"e30.{text}.x"):
            with pytest.raises(oidc.Refused):
                verifier(oidc).claims(token, AUDIENCE)


def test_no_token_is_for_an_environment_that_cannot_be_told_apart(oidc: ModuleType) -> None:
    with pytest.raises(oidc.Refused):
        verifier(oidc).claims(signed(claims(aud="")), "")


@pytest.mark.parametrize("metadata", [{"issuer": "https://other"}, {"jwks_uri": "http://login.example.com/keys"}])
def test_a_provider_that_is_another(oidc: ModuleType, metadata: dict[str, str], provider: list[str]) -> None:
    with pytest.raises(oidc.Refused, match=r"provider"):
        verifier(oidc, **metadata).claims(signed(claims()), AUDIENCE)
    assert provider == []


def test_unknown_keys_do_not_make_us_ask_each_time(oidc: ModuleType, provider: list[str]) -> None:
    asked = verifier(oidc)
    for _ in range(20):
        with pytest.raises(oidc.Refused):
            asked.claims(signed(claims(), STRANGE, kid="of-mine"), AUDIENCE)
    assert len(provider) == 1


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["owners"], {"Op"}),
        (["owners", "support", "other"], {"Op", "Viewer"}),
        (["Owners", "/owners", "owners ", "own"], set()),
        ("support", {"Viewer"}),
        ("owners support", set()),
        ([], set()),
        (None, set()),
        ([["owners"], {"owners": 1}, None, 1], set()),
        ({"owners": True}, set()),
    ],
)
def test_groups_give_roles(oidc: ModuleType, groups: Any, roles: set[str]) -> None:
    assert oidc.person(claims(groups=groups), settings(oidc)).roles == roles


@pytest.mark.parametrize("name", [None, "", " ", 5, ["olga"], "a\nb", "a\x00", "a" * 251, "\u202eolga"])
def test_names_that_are_none(oidc: ModuleType, name: Any) -> None:
    with pytest.raises(oidc.Refused):
        oidc.person(claims(preferred_username=name), settings(oidc))


def test_names_are_as_the_provider_says(oidc: ModuleType) -> None:
    found = oidc.person(claims(email="o@example.com", given_name="Olga", family_name=7), settings(oidc))
    assert (found.username, found.first_name, found.last_name) == ("olga", "Olga", "")
    by_mail = settings(oidc, username_claim="email")
    assert oidc.person(claims(email="o@example.com"), by_mail).username == "o@example.com"


@pytest.mark.parametrize("subject", [None, "", 5, ["1"]])
def test_who_somebody_is_for_good_must_be_said(oidc: ModuleType, subject: Any) -> None:
    with pytest.raises(oidc.Refused, match="'oid'"):
        oidc.person(claims(oid=subject), settings(oidc, subject_claim="oid"))


def test_an_account_stays_that_of_the_person_for_whom_it_was_made(oidc: ModuleType) -> None:
    mine = oidc.mark("1", settings(oidc))
    assert mine == oidc.mark("1", settings(oidc))
    assert not oidc.of_another(mine, mine)
    assert oidc.of_another(oidc.mark("2", settings(oidc)), mine)
    for changed in ({"issuer": "https://login.example.org"}, {"subject_claim": "oid"}):
        assert not oidc.of_another(oidc.mark("2", settings(oidc, **changed)), mine), "that was another class's word"
    for kept in ("", "!", "scrypt:32768:8:1$salt$hash"):  # of before
        assert not oidc.of_another(kept, mine)
    assert len(mine) < 256, "as much as Airflow's column takes"
    assert "$" not in mine, "what Airflow compares passwords with has three parts"


def test_settings_are_read(oidc: ModuleType, tmp_path: Path) -> None:
    written = {
        "issuer": ISSUER,
        "clientId": AUDIENCE,
        "audience": "",
        "usernameClaim": "sub",
        "subjectClaim": "oid",
        "groupsClaim": "groups",
        "scopes": ["openid"],
        "roles": {"a": "Op"},
    }
    (tmp_path / "identity.json").write_text(json.dumps(written))
    assert oidc.Settings.read(tmp_path).ca == ""
    (tmp_path / "ca.pem").write_text("")
    found = oidc.Settings.read(tmp_path)
    assert (found.issuer, found.client_id, found.audience, found.roles) == (ISSUER, AUDIENCE, "", {"a": "Op"})
    assert (found.username_claim, found.subject_claim, found.groups_claim) == ("sub", "oid", "groups")
    assert found.ca == str(tmp_path / "ca.pem")
