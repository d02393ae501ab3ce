"""A real way into the local cluster: Traefik, which knows Ingresses and the Gateway API; and somebody who takes it."""

import http.client
import http.cookies
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from cryptography import x509

from demo.platform import Platform
from e2e.waiting import eventually
from localcluster import tool

CLASS = "e2e-traefik"
"""Name of the IngressClass and of the GatewayClass."""


@contextmanager
def traefik(platform: Platform, port: int, log: Path, *, gateways: bool = False) -> Iterator[None]:
    """Within the block it serves https on that port of this machine, which reaches the cluster's pods directly.

    With `gateways` also what Gateways lead to; their kinds must be installed.
    """
    kinds = {"networking.k8s.io/v1": ("IngressClass", {"controller": "traefik.io/ingress-controller"})}
    if gateways:
        way = {"controllerName": "traefik.io/gateway-controller"}
        kinds["gateway.networking.k8s.io/v1"] = ("GatewayClass", way)
    platform.apply(
        {"apiVersion": version, "kind": kind, "metadata": {"name": CLASS}, "spec": spec}
        for version, (kind, spec) in kinds.items()
    )
    command = (
        str(tool("traefik")),
        f"--entrypoints.websecure.address=127.0.0.1:{port}",
        "--entrypoints.websecure.http.tls=true",
        f"--providers.kubernetesingress.ingressclass={CLASS}",
        f"--providers.kubernetesgateway={str(gateways).lower()}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    )
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(platform.cluster.kubeconfig)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            eventually("listener", lambda: process.poll() is None and _greets(port), 60, log.read_text)
            yield
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _greets(port: int) -> bool:
    """Whether somebody listens who can do TLS; Traefik listens a moment before."""
    try:
        _certificate(port, "localhost")
    except OSError:
        return False
    return True


def _certificate(port: int, host: str) -> x509.Certificate:
    """What is served for a host name, whoever signed it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")


@dataclass
class Answer:
    """What the server said."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def location(self) -> str:
        """Where it leads, "" if nowhere."""
        return str(self.headers.get("Location", ""))


@dataclass
class Browser:
    """Goes to a host name as if its address were this machine's, believes one authority, and keeps cookies."""

    host: str
    port: int
    authority: str
    """Its certificate, in PEM."""
    cookies: dict[str, str] = field(default_factory=dict)

    def certificate(self) -> x509.Certificate:
        """What is served for the host name, whoever signed it."""
        return _certificate(self.port, self.host)

    def is_served(self) -> bool:
        """Whether Airflow answers, with a certificate that is believed."""
        try:
            return self.get("/api/v2/version").status == 200
        except ssl.SSLCertVerificationError:
            return False

    def get(self, path: str) -> Answer:
        """The answer to a GET; redirects are not followed."""
        return self._ask("GET", path)

    def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """The answer to a form."""
        return self._ask("POST", path, urlencode(form))

    def _ask(self, method: str, path: str, body: str | None = None) -> Answer:
        """Errors of TLS come through: a certificate for another name, or of another authority, is one."""
        context = ssl.create_default_context(cadata=self.authority)
        # As if the port were 443: a browser names it otherwise.
        headers = {"Host": self.host, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"https://{self.host}{path}"}
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection = http.client.HTTPConnection(self.host)
        with context.wrap_socket(plain, server_hostname=self.host) as connection.sock:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        for line in answer.headers.get_all("Set-Cookie") or ():
            for name, cookie in http.cookies.SimpleCookie(line).items():
                self.cookies[name] = cookie.value
        return Answer(answer.status, answer.headers, text)
