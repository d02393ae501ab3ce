"""Which requests go wrong, and how. Pure: a rule says what it matches, which of the matches it takes, what to do."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

WRITES = frozenset({"create", "apply", "patch", "update", "delete"})
READS = frozenset({"get", "list"})
LEASES = "leases"
METRICS = "pods.metrics.k8s.io"
"""What a metrics server measures of pods: these are none."""


@dataclass(frozen=True)
class Request:
    """A request, or an event that a watch brings (its verb is `event`)."""

    verb: str
    """get, list, watch, event, or one of WRITES."""
    kind: str = ""
    """The plural in the path: `deployments`; "" for what is not about objects."""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    client: str = ""
    """`airfield` for the operator's own client, `kopf` for its watches."""

    @property
    def writes(self) -> bool:
        """Whether it may change something that is not a Lease."""
        return self.verb in WRITES and self.kind != LEASES

    @staticmethod
    def parse(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> "Request":
        """Understand an HTTP request to the API server; `path` without the query."""
        client = "airfield" if headers.get("User-Agent", "").startswith("airfield") else "kopf"
        parts = path.strip("/").split("/")
        measured = parts[:2] == ["apis", "metrics.k8s.io"]
        parts = parts[2:] if parts[0] == "api" else parts[3:] if parts[0] == "apis" else []
        if not parts:
            return Request("get", client=client)
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        kind, name, subresource, *_ = [*parts, "", ""]
        kind = METRICS if measured else kind
        if method == "POST" and body:
            name = json.loads(body).get("metadata", {}).get("name", "")
        return Request(_verb(method, name, query, headers), kind, namespace, name, subresource, client)


def _verb(method: str, name: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if method == "GET":
        return "watch" if query.get("watch") in {"true", "1"} else "get" if name else "list"
    if method == "PATCH":
        return "apply" if "apply-patch" in headers.get("Content-Type", "") else "patch"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}[method]


@dataclass(frozen=True)
class Cut:
    """Close the connection without an answer; `after`: once the request has reached the API server."""

    after: bool = False


@dataclass(frozen=True)
class Answer:
    """Answer instead of the API server."""

    status: int
    reason: str = ""
    retry_after: float | None = None
    """In seconds, for the header of that name."""
    message: str = "a fault of the tests"


@dataclass(frozen=True)
class Say:
    """Answer with a document, as a server that the cluster does not have."""

    document: Mapping[str, Any]


@dataclass(frozen=True)
class Late:
    """Send the request on, or pass the event, only after some seconds."""

    seconds: float


@dataclass(frozen=True)
class Stale:
    """Answer with what the API server said when it was first asked the same."""


@dataclass(frozen=True)
class Call:
    """Call a function and close the connection; before the request is sent on, which it then is not, or after."""

    function: Callable[[], None]
    after: bool = False


@dataclass(frozen=True)
class Drop:
    """Swallow an event."""


@dataclass(frozen=True)
class Hold:
    """Pass an event after so many later ones of the same watch."""

    events: int = 1


@dataclass(frozen=True)
class End:
    """End a watch with an ERROR event in place of the event."""

    code: int
    reason: str


Action = Cut | Answer | Say | Late | Stale | Call | Drop | Hold | End


@dataclass(frozen=True)
class Rule:
    """What to do with the requests of a kind. Empty fields match everything but Leases, which must be named."""

    do: Action
    verbs: frozenset[str] = frozenset()
    kind: str = ""
    namespace: str = ""
    name: str = ""
    """As for a shell: `*-database`."""
    client: str = ""
    first: int = 1
    """The first match that it takes."""
    times: int = 1
    """How many it takes."""

    def matches(self, request: Request) -> bool:
        """Whether the request is one that this rule counts."""
        return (
            request.verb in (self.verbs or {request.verb} - {"event"})
            and request.kind == (self.kind or (request.kind if request.kind != LEASES else None))
            and self.namespace in {"", request.namespace}
            and fnmatchcase(request.name, self.name or "*")
            and self.client in {"", request.client}
        )


@dataclass
class Script:
    """Rules, and how often each has matched."""

    rules: Sequence[Rule] = ()
    taken: list[Request] = field(default_factory=list)
    """The requests that went wrong so far."""
    _matches: dict[int, int] = field(default_factory=dict)

    def decide(self, request: Request) -> Action | None:
        """What to do with a request. Every rule that matches counts it; the first whose turn it is takes it."""
        chosen: Action | None = None
        for number, rule in enumerate(self.rules):
            if rule.matches(request):
                count = self._matches[number] = self._matches.get(number, 0) + 1
                if chosen is None and rule.first <= count < rule.first + rule.times:
                    chosen = rule.do
        if chosen is not None:
            self.taken.append(request)
        return chosen
