"""What can go wrong with a database server, in words for the person who has to act on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg
from psycopg import errors as pg

Reason = Literal["Unreachable", "Refused", "Denied", "Conflict", "Failed"]


class DatabaseError(Exception):
    """A database operation that did not succeed. The message never holds a password or a statement.

    Unreachable: nobody answers, or the server is starting or stopping. Refused: the server turns the login down.
    Denied: the role lacks a privilege. Conflict: what is there belongs to somebody else, or is in the way.
    Failed: everything else. Repeating is safe after each of them.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


@contextmanager
def translated(where: str, doing: str) -> Iterator[None]:
    """Turns psycopg's errors and timeouts into DatabaseError; `where` names server, database and role.

    The original is dropped from the chain on purpose: libpq quotes the statement in its error text.
    """
    try:
        yield
    except psycopg.Error as error:
        reason, advice = _explain(error)
        said = error.diag.message_primary or (str(error).strip().splitlines() or [type(error).__name__])[-1]
        code = f" [{error.sqlstate}]" if error.sqlstate else ""
        raise DatabaseError(reason, f"{doing} on {where}: {said}{code}; {advice}") from None
    except TimeoutError:
        raise DatabaseError(
            "Unreachable", f"{doing} on {where}: no answer in time; check the server's load and the network to it"
        ) from None


_NETWORK = "check that the server runs and that host, port and network policy let the operator reach it"
_LOGIN = "check user and password in the Secret, the database's name, pg_hba.conf and the server's connection limit"


def _explain(error: psycopg.Error) -> tuple[Reason, str]:
    match error:
        case pg.InsufficientPrivilege():
            return "Denied", "grant the role what it lacks: the operator's own role needs CREATEDB and CREATEROLE"
        case pg.DuplicateDatabase() | pg.DuplicateObject() | pg.UniqueViolation():
            return "Conflict", "something of this name exists; remove it or rename the environment"
        case pg.InvalidCatalogName() | pg.UndefinedObject():
            return "Conflict", "it is missing; it may have been dropped meanwhile"
        case pg.ObjectInUse():
            return "Conflict", "close the other sessions"
        case pg.DependentObjectsStillExist():
            return "Conflict", "something still belongs to the role; it may be a copy that is being made"
        case pg.QueryCanceled() | pg.LockNotAvailable():
            return "Failed", "another operation holds the lock or the server is slow; it will be repeated"
        case psycopg.OperationalError(sqlstate=None):
            return ("Refused", _LOGIN) if _turned_down(error) else ("Unreachable", _NETWORK)
    match (error.sqlstate or "")[:3]:
        case "280" | "28P" | "533":
            return "Refused", _LOGIN
        case "080" | "08P" | "57P":
            return "Unreachable", _NETWORK
    return "Failed", "see the server's log"


def _turned_down(error: psycopg.Error) -> bool:
    """Whether somebody answered and said no: libpq gives no SQLSTATE for a failed login."""
    text = str(error)
    starting = any(words in text for words in ("starting up", "shutting down", "recovery", "not yet accepting"))
    asked = error.pgconn is not None and (error.pgconn.used_password or error.pgconn.needs_password)
    return not starting and (asked or "FATAL:" in text)
