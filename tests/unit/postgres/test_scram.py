from base64 import b64decode
from dataclasses import replace

import pytest
from psycopg import sql

from airfield.postgres.scram import scram_verifier
from postgres_server import PostgresServer, login


def test_the_verifier_of_libpq(postgres_server: PostgresServer) -> None:
    """The same salt must give the same verifier, so take libpq's salt."""
    with login(postgres_server.superuser) as connection:
        theirs = connection.pgconn.encrypt_password(b"pencil", b"user", b"scram-sha-256").decode()
    salt = b64decode(theirs.split("$")[1].split(":")[1])
    assert scram_verifier("pencil", salt=salt) == theirs


def test_salts_differ() -> None:
    assert scram_verifier("pencil") != scram_verifier("pencil")


@pytest.mark.parametrize("password", ["", "naïve", "a\nb", "a\0b"])
def test_unusable_passwords_are_not_quoted(password: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        scram_verifier(password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["plain", "q'uo\"te\\ $1 %s {} ~", " "])
def test_the_server_lets_it_in(postgres_server: PostgresServer, password: str) -> None:
    with login(postgres_server.superuser) as connection:
        connection.execute("DROP ROLE IF EXISTS scram_test")
        connection.execute(sql.SQL("CREATE ROLE scram_test LOGIN PASSWORD {}").format(scram_verifier(password)))
    login(replace(postgres_server.superuser, user="scram_test", password=password)).close()
