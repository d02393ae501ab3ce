"""The secrets of an environment: made once, checked when a person brings their own. Pure but for the random source.

No message quotes a secret.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

UNAMBIGUOUS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no 0 O 1 l I i o; 5.8 bits each


def fernet_key() -> str:
    """A value for `[core] fernet_key`."""
    return Fernet.generate_key().decode()


def api_secret_key() -> str:
    """A value for `[api] secret_key`: 384 bits, 64 characters, as many as Airflow wants for HS512."""
    return secrets.token_urlsafe(48)


def password(length: int = 24) -> str:
    """A password that can be read aloud and put into a URL."""
    return "".join(secrets.choice(UNAMBIGUOUS) for _ in range(length))


MOST: Final = 16384
"""Characters of a private key or a JWKS that somebody brings: an Ed25519 key has 120, as a JWK 250."""


def jwt_keys() -> tuple[str, str]:
    """The files for `[api_auth] jwt_private_key_path` (PKCS 8, PEM) and `trusted_jwks_url` (JSON)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, json.dumps({"keys": [_public_jwk(key)]}, indent=2)


def check_fernet(text: str) -> str | None:
    """What is wrong with a `[core] fernet_key` (comma-separated: the first encrypts), None when nothing is."""
    keys = [key.strip() for key in text.split(",")]
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key.encode())
        except ValueError:
            return f"key {position} of {len(keys)} is not a Fernet key; it must be 32 bytes in URL-safe base64"
    return None


def check_jwt(private_pem: str, jwks: str) -> str | None:
    """What is wrong with the pair, None when Airflow will accept the tokens that it signs."""
    if len(private_pem) > MOST or len(jwks) > MOST:
        return f"the private key or the JWKS has more than {MOST} characters"
    try:
        # Whether an RSA key is a good one would take half a minute to see, and it is refused in any case.
        key = load_pem_private_key(private_pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "the private key is not an unencrypted private key in PEM format"
    if not isinstance(key, Ed25519PrivateKey):
        return "the private key is not an Ed25519 key; make one with: openssl genpkey -algorithm ed25519"
    try:
        listed = json.loads(jwks)["keys"]
        kid = _public_jwk(key)["kid"]
        found = [jwk for jwk in listed if jwk["kid"] == kid]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 'the JWKS is not a JSON object with a list "keys", each with a "kid"'
    if any("d" in jwk for jwk in listed):
        return "the JWKS holds a private key; list public keys only"
    if not any(_same_key(jwk, key) for jwk in found):
        return f"the JWKS lacks the private key's public half under the kid {_public_jwk(key)['kid']}"
    return None


def _public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """The public key; its `kid` is the RFC 7638 thumbprint, by which Airflow's token generator names it."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    required = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    kid = _base64url(hashlib.sha256(canonical.encode()).digest())
    return {**required, "kid": kid, "alg": "EdDSA", "use": "sig"}


def _same_key(jwk: dict[str, Any], key: Ed25519PrivateKey) -> bool:
    ours = _public_jwk(key)
    return all(jwk.get(name) == ours[name] for name in ("kty", "crv", "x")) and jwk.get("alg", "EdDSA") == "EdDSA"


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
