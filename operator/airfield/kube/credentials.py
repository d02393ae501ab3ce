"""How to reach the API server and who we are: the pod's service account, or a kubeconfig."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from ssl import SSLContext

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
Headers = dict[str, str]
TOKEN_MAX_AGE = 60.0
"""Seconds for which a token is used before its file is read again; the kubelet rotates the file."""


class CredentialsError(Exception):
    """There is no usable way to the API server."""


@dataclass(frozen=True)
class Credentials:
    """Where the API server is and how to prove who we are."""

    url: str
    ssl: SSLContext | None
    headers: Callable[[], Awaitable[Headers]]
    server_hostname: str | None = None
    proxy: str | None = None
    namespace: str = "default"
    """The pod's own namespace, or that of the kubeconfig's context."""
    trust: SSLContext | None = None
    """For others whom the cluster's authority has signed: it shows them nothing of ours. None where there is no TLS."""


def load(context: str | None = None) -> Credentials:
    """Credentials of the pod that we run in, else of the kubeconfig (`KUBECONFIG` or ~/.kube/config).

    `KUBECONFIG` or a context name takes precedence over the pod's service account, so that a developer may say which.

    Raises:
        CredentialsError: when neither works, saying what is wrong.
    """
    if context is None and os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
        return from_service_account(SERVICE_ACCOUNT)
    return from_kubeconfig(context)


def from_service_account(folder: Path, *, clock: Callable[[], float] = time.monotonic) -> Credentials:
    """Credentials of a service account whose files the kubelet keeps in `folder`."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")

    def read() -> Headers:
        return {"Authorization": f"Bearer {(folder / 'token').read_text().strip()}"}

    try:
        headers = _refreshed(read, clock)
        context = _ssl_context(str(folder / "ca.crt"))
        namespace = (folder / "namespace").read_text().strip()
    except OSError as error:
        raise CredentialsError(
            f"cannot read the service account's files in {folder} ({error}); "
            "is automountServiceAccountToken off? Set KUBECONFIG to use a kubeconfig instead"
        ) from error
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Credentials(url, context, headers, namespace=namespace, trust=context)


def from_kubeconfig(context: str | None = None, path: str | None = None) -> Credentials:
    """Credentials of a kubeconfig's context, by the loader of the `kubernetes` package: it knows exec plugins."""
    # Imported here because it costs 0.2 s and 10 MB, which a pod with a service account need not pay.
    import yaml  # noqa: PLC0415
    from kubernetes.client import Configuration  # noqa: PLC0415
    from kubernetes.config import kube_config  # noqa: PLC0415
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

    file = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
    settings: Any = Configuration()
    settings.proxy = None  # by default it is taken from the environment, without regard for no_proxy

    def read() -> Headers:
        token = settings.get_api_key_with_prefix("BearerToken")  # runs the exec plugin when its token has expired
        return {"Authorization": token} if token else {}

    loader: Any = kube_config  # untyped
    try:
        loader.load_kube_config(file, context=context, client_configuration=settings, persist_config=False)
        contexts, current = loader.list_kube_config_contexts(file)
        tls = settings.host.startswith("https")
        ssl_context = _ssl_context(settings.ssl_ca_cert, settings.cert_file, settings.key_file) if tls else None
        trust = _ssl_context(settings.ssl_ca_cert) if tls else None
    except (ConfigException, OSError, yaml.YAMLError) as error:  # ssl.SSLError is an OSError
        wanted = f" (context {context!r})" if context else ""
        raise CredentialsError(f"cannot load kubeconfig {file}{wanted}: {error}") from error
    finally:
        # It writes embedded certificates and keys into files for us, and would leave them there if we were killed.
        loader._cleanup_temp_files()  # noqa: SLF001
    if ssl_context and not settings.verify_ssl:
        ssl_context.check_hostname = False
        ssl_context.verify_mode = ssl.CERT_NONE
    active = next((c for c in contexts if c["name"] == context), current)
    return Credentials(
        settings.host,
        ssl_context,
        _refreshed(read, time.monotonic),
        server_hostname=settings.tls_server_name or None,
        proxy=settings.proxy or None,
        namespace=active["context"].get("namespace") or "default",
        trust=trust,
    )


def _ssl_context(ca: str | None, cert: str | None = None, key: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    # Python 3.13 began to refuse certificates without an authority key identifier, which many clusters' CAs lack.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if cert:
        context.load_cert_chain(cert, key)
    return context


def _refreshed(read: Callable[[], Headers], clock: Callable[[], float]) -> Callable[[], Awaitable[Headers]]:
    """What `read` gives, read again in a thread when older than TOKEN_MAX_AGE; once, however many ask meanwhile."""
    headers, read_at = read(), clock()

    async def current() -> Headers:
        nonlocal headers, read_at
        if clock() - read_at >= TOKEN_MAX_AGE:
            read_at = clock()
            headers = await asyncio.to_thread(read)
        return headers

    return current
