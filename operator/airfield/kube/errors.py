"""What can go wrong in a call to the Kubernetes API."""

from __future__ import annotations


class ApiError(Exception):
    """The API server refused a request, or could not be reached.

    Attributes:
        status: the HTTP status; 0 when there was no answer.
        reason: Kubernetes' word for it (`Conflict`, `AlreadyExists`, ...), or HTTP's.
        message: verb, object and the server's text, fit to be shown to a person.
        retry_after: seconds after which the server wants to be asked again, when it said so.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def not_found(self) -> bool:
        """The object, or the namespace it should be in, does not exist."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Someone else was faster, or owns a field that an unforced apply wants."""
        return self.status == 409

    @property
    def forbidden(self) -> bool:
        """RBAC, a quota or an admission plugin says no."""
        return self.status == 403

    @property
    def invalid(self) -> bool:
        """The object breaks its schema (422, or 400 for an unknown field) or changes an immutable field."""
        return self.status in {400, 422}

    @property
    def gone(self) -> bool:
        """The resourceVersion or continue token is too old."""
        return self.status == 410

    @property
    def transient(self) -> bool:
        """The server is not there or overloaded; the same request may well succeed later.

        A 500 is not among them: it is also what a failing admission webhook gives, which somebody has to be told of.
        """
        return self.status in {0, 429, 502, 503, 504}


class ApiUnavailable(ApiError):  # noqa: N818 - the name says it
    """No answer: refused or broken connection, TLS failure, timeout. Status 0."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unavailable", message)
