"""The Kubernetes client of the KubernetesExecutor: sees the task Pods of its own environment only.

The executor tells its Pods from others' by the scheduler's job id, a small number that any two environments of a
namespace share: each would adopt and delete the other's Pods. So every list and watch of Pods also asks for our label.
"""
# ruff: noqa: INP001 - a file of a ConfigMap

import multiprocessing
import os
import re
import signal
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

LABEL = "airfield.dev/environment"


def scoped(method: str, url: str, environment: str) -> str:
    """Return the URL with the environment's label added to its label selector, if it lists or watches Pods."""
    parts = urlsplit(url)
    if method != "GET" or not re.search(r"/api/v1(/namespaces/[^/]+)?/pods$", parts.path):
        return url
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    selectors = [query.get("labelSelector", ""), f"{LABEL}={environment}"]
    query["labelSelector"] = ",".join(selector for selector in selectors if selector)
    return parts._replace(query=urlencode(query)).geturl()


def let_watcher_end() -> None:
    """Let the process that watches task Pods, which begins by asking for a client, end when it is told to.

    It has inherited the scheduler's handler of SIGTERM, which does nothing there (Airflow 3.3.2). So whenever a
    scheduler ends, its executor would wait for 20 seconds and then kill it.
    """
    if type(multiprocessing.current_process()).__name__ == "KubernetesJobWatcher":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def client() -> Any:
    """Return Airflow's own client, scoped at its connection pool, which generated and dynamic clients share."""
    let_watcher_end()
    from airflow.providers.cncf.kubernetes.kube_client import (  # type: ignore[import-not-found]  # noqa: PLC0415
        get_kube_client,
    )

    environment = os.environ["AIRFIELD_ENVIRONMENT"]
    core = get_kube_client()
    pool, settings = core.api_client.rest_client.pool_manager, core.api_client.configuration
    if settings.verify_ssl:
        # Python 3.13 began to refuse certificates without an authority key identifier, which many clusters' lack.
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        pool.connection_pool_kw["ssl_context"] = context
    send = pool.urlopen  # where the query string is complete
    pool.urlopen = lambda method, url, **options: send(method, scoped(method, url, environment), **options)
    return core
