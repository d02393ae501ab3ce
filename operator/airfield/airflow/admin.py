"""The first user of an environment, written into FAB's tables: the Airflow CLI would cost seconds of CPU time."""

import asyncio
import hashlib
import hmac
import secrets
from typing import Literal

from airfield.postgres.connection import Address, Connection, connect
from airfield.postgres.errors import DatabaseError

Outcome = Literal["created", "updated", "unchanged", "waiting"]

N, R, P = 32768, 8, 1  # scrypt's cost as Werkzeug chooses it: 32 MiB and about 0.1 s
N_RANDOM = 1024
"""Cost for a password of ours: its 24 random characters cannot be guessed, however cheap a guess is."""
MOST_WORK = 4 * N * R * P  # a tenant can write its own hashes, so what they may cost us is bounded
MOST_ITERATIONS = 2_000_000
SALT_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def werkzeug_hash(password: str, *, random: bool = False) -> str:
    """`scrypt:32768:8:1$salt$hex`, which is what Werkzeug's generate_password_hash writes.

    `random`: the password was made by a random generator; its hash costs a thirtieth.
    """
    salt, n = "".join(secrets.choice(SALT_CHARACTERS) for _ in range(16)), N_RANDOM if random else N
    return f"scrypt:{n}:{R}:{P}${salt}${_scrypt(password, salt, n, R, P).hex()}"


def verify(password: str, hashed: str) -> bool:
    """Whether Werkzeug would accept the password. False for a malformed or unreasonably expensive hash."""
    try:
        method, salt, expected = hashed.split("$")
        match method.split(":"):
            case ["scrypt", n, r, p] if int(n) * int(r) * int(p) <= MOST_WORK:
                actual = _scrypt(password, salt, int(n), int(r), int(p))
            case ["pbkdf2", digest, iterations] if int(iterations) <= MOST_ITERATIONS:
                actual = hashlib.pbkdf2_hmac(digest, password.encode(), salt.encode(), int(iterations))
            case _:
                return False
    except (ValueError, TypeError, OverflowError):  # TypeError: a negative cost
        return False
    return hmac.compare_digest(actual.hex().encode(), expected.encode())


def _scrypt(password: str, salt: str, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=n, r=r, p=p, maxmem=132 * n * r * p)


async def ensure_admin(address: Address, username: str, password: str, email: str, *, random: bool = False) -> Outcome:
    """Makes sure that `username` can log in with `password` and has the role Admin.

    "waiting" until FAB's tables and role exist (the api-server makes the role when it starts first). An account that
    somebody deactivated stays so. One transaction; checking costs about 0.1 s of CPU time. Log in with the
    environment's own role. `random`: as for `werkzeug_hash`. Raises DatabaseError Conflict when another user has the
    e-mail address.
    """
    async with connect(address, f"making user {username}") as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('airfield admin', 0))")
        if (role := await _admin_role(connection)) is None:
            return "waiting"
        cursor = await connection.execute(
            "SELECT id, password FROM public.ab_user WHERE lower(username) = lower(%s) FOR UPDATE", [username]
        )
        row = await cursor.fetchone()
        outcome: Outcome
        if row is None:
            user, outcome = await _insert(connection, username, await _hash(password, random), email), "created"
        else:
            user, stored = row
            valid = stored is not None and await asyncio.to_thread(verify, password, stored)
            outcome = "unchanged" if valid else "updated"
            if not valid:
                await connection.execute(
                    "UPDATE public.ab_user SET password = %s, changed_on = now() WHERE id = %s",
                    [await _hash(password, random), user],
                )
        cursor = await connection.execute(
            "INSERT INTO public.ab_user_role (id, user_id, role_id)"
            " SELECT nextval('public.ab_user_role_id_seq'), %(user)s, %(role)s"
            " WHERE NOT EXISTS (SELECT FROM public.ab_user_role WHERE user_id = %(user)s AND role_id = %(role)s)",
            {"user": user, "role": role},
        )
        return "updated" if outcome == "unchanged" and cursor.rowcount else outcome


async def _hash(password: str, random: bool) -> str:
    return await asyncio.to_thread(werkzeug_hash, password, random=random)


async def _admin_role(connection: Connection) -> int | None:
    tables = await connection.execute(
        "SELECT count(to_regclass('public.' || name)) FROM unnest(ARRAY['ab_user', 'ab_role', 'ab_user_role']) name"
    )
    if await tables.fetchone() != (3,):
        return None
    row = await (await connection.execute("SELECT id FROM public.ab_role WHERE name = 'Admin'")).fetchone()
    return None if row is None else row[0]


async def _insert(connection: Connection, username: str, hashed: str, email: str) -> int:
    cursor = await connection.execute(
        "INSERT INTO public.ab_user"
        " (id, first_name, last_name, username, password, active, email, created_on, changed_on)"
        " SELECT nextval('public.ab_user_id_seq'), %(name)s::text, '', %(name)s::text,"
        " %(hash)s::text, true, %(email)s::text, now(), now()"
        " WHERE NOT EXISTS (SELECT FROM public.ab_user WHERE email = %(email)s::text) RETURNING id",
        {"name": username, "hash": hashed, "email": email},
    )
    row = await cursor.fetchone()
    if row is None:
        raise DatabaseError("Conflict", f"another Airflow user has the e-mail address {email}; choose another address")
    return int(row[0])
