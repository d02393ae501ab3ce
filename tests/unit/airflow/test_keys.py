import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from airfield.airflow.keys import (
    UNAMBIGUOUS,
    api_secret_key,
    check_fernet,
    check_jwt,
    fernet_key,
    jwt_keys,
    password,
)
from certificates import composite

PRIVATE, JWKS = jwt_keys()
OTHER_PRIVATE, OTHER_JWKS = jwt_keys()
KID = json.loads(JWKS)["keys"][0]["kid"]

# A pair whose kid was computed by Airflow 3.3.2 itself: key_to_jwk_dict() of airflow.api_fastapi.auth.tokens.
AIRFLOW_PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
"""
AIRFLOW_JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
    "kid": "1IG2tMH7J2wbJZnOf8LJzQitKf7LMvoAElsuDMVM54Y",
}


def pem(*, encrypted: bool) -> str:
    key = load_pem_private_key(PRIVATE.encode(), None)
    encryption = BestAvailableEncryption(b"x") if encrypted else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


RSA = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_fernet_keys() -> None:
    key = fernet_key()
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"text")) == b"text"
    assert key != fernet_key()
    assert check_fernet(key) is None
    assert check_fernet(f"{key}, {fernet_key()}") is None


@pytest.mark.parametrize("text", ["", "short", ",", urlsafe_b64encode(b"x" * 31).decode(), "ä" * 44])
def test_bad_fernet_keys_are_counted_but_not_quoted(text: str) -> None:
    assert check_fernet(text) is not None
    problem = check_fernet(f"{fernet_key()},{text}")
    assert problem is not None
    assert problem.startswith("key 2 of ")
    assert len(text) < 2 or text not in problem


@given(st.integers(min_value=1, max_value=100))
def test_passwords(length: int) -> None:
    made = password(length)
    assert len(made) == length
    assert set(made) <= set(UNAMBIGUOUS)
    assert set(UNAMBIGUOUS).isdisjoint("0O1lIo")


def test_random_values_differ() -> None:
    assert len({password() for _ in range(100)}) == 100
    assert len({api_secret_key() for _ in range(100)}) == 100
    assert len(api_secret_key()) >= 43


def test_the_pair_fits() -> None:
    assert check_jwt(PRIVATE, JWKS) is None
    assert "PRIVATE KEY" in PRIVATE
    assert set(json.loads(JWKS)["keys"][0]) == {"kty", "crv", "x", "kid", "alg", "use"}


def test_the_kid_is_airflows() -> None:
    assert check_jwt(AIRFLOW_PRIVATE, json.dumps({"keys": [AIRFLOW_JWK]})) is None


def test_keys_in_overlap() -> None:
    shared = {"kty": "oct", "kid": "not-used", "alg": "HS512", "k": "c2VjcmV0"}
    both = json.dumps({"keys": [shared, *json.loads(OTHER_JWKS)["keys"], *json.loads(JWKS)["keys"]]})
    assert check_jwt(PRIVATE, both) is None
    assert check_jwt(OTHER_PRIVATE, both) is None


@pytest.mark.parametrize(
    ("private", "jwks", "says"),
    [
        ("", JWKS, "not an unencrypted private key"),
        ("secret nonsense", JWKS, "not an unencrypted private key"),
        (pem(encrypted=True), JWKS, "not an unencrypted private key"),
        (RSA, JWKS, "not an Ed25519 key"),
        (PRIVATE, "", "not a JSON object"),
        (PRIVATE, "[]", "not a JSON object"),
        (PRIVATE, '{"keys": [1]}', "not a JSON object"),
        (PRIVATE, '{"keys": [{}]}', "not a JSON object"),
        (PRIVATE, "[" * 10_000, "not a JSON object"),
        (PRIVATE, "[" * 100_000, "more than 16384 characters"),
        (composite(), JWKS, "not an Ed25519 key"),  # whose primes nobody looks at
        (PRIVATE, '{"keys": []}', "lacks the private key's public half"),
        (PRIVATE, OTHER_JWKS, "lacks the private key's public half"),
        (PRIVATE, JWKS.replace(KID, "another"), "lacks the private key's public half"),
        (
            PRIVATE,
            OTHER_JWKS.replace(json.loads(OTHER_JWKS)["keys"][0]["kid"], KID),
            "lacks the private key's public half",
        ),
        (PRIVATE, JWKS.replace("EdDSA", "RS256"), "lacks the private key's public half"),
        (PRIVATE, JWKS.replace('"use"', '"d": "secret", "use"'), "holds a private key"),
    ],
)
def test_bad_pairs(private: str, jwks: str, says: str) -> None:
    problem = check_jwt(private, jwks)
    assert problem is not None
    assert says in problem
    assert "secret" not in problem
