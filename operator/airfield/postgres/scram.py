"""Password verifiers, computed here so that the server (and its log) never sees the password."""

import hashlib
import hmac
import os
from base64 import b64encode

ITERATIONS = 4096


def scram_verifier(password: str, *, salt: bytes | None = None) -> str:
    """The SCRAM-SHA-256 verifier of RFC 5803, as `ALTER ROLE … PASSWORD` takes it.

    Raises ValueError for an empty password or one with characters outside printable ASCII: those would need the
    client's and our Unicode normalisation to agree.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a database password must be made of printable ASCII characters; generate a new one")
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def _text(data: bytes) -> str:
    return b64encode(data).decode()
