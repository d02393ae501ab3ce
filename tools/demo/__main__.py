"""`python -m demo up` and `python -m demo down`."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import click

from demo.airflow import run_dag
from demo.platform import GIT, QUICKSTART, REPOSITORY, SYSTEM, Platform, PlatformError
from imagebuild.build import build
from imagebuild.images import RECIPES
from localcluster import Cluster, LocalClusterError, tool
from localcluster.binaries import MINIMUM_GO
from localcluster.cluster import current_kubeconfig
from localcluster.host import require_node_support

T = TypeVar("T")
NAMESPACE, NAME, DAG = "team-a-dev", "demo", "hello"
READY_SECONDS = 600
TENANT_SECONDS = 60
CRD = "airflowenvironments.airfield.dev"
OWN = {
    "AirflowEnvironment": {f"{NAMESPACE}/{NAME}"},
    "AirflowTenant": {"team-a"},
    "AirflowEnvironmentClass": {"standard"},
}
"""What examples/quickstart/ has of each kind."""
IMAGES = ("airflow", "postgres", "operator")

_started = time.monotonic()


def say(message: str) -> None:
    """A line of progress."""
    seconds = f"[{time.monotonic() - _started:5.0f} s] "
    click.echo(click.style(seconds, fg="cyan") + message)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Airfield on this machine, for real."""


@cli.command()
def up() -> None:
    """Start everything and end when a DAG of the first environment has succeeded."""
    cluster = Cluster("demo", progress=say)
    if current_kubeconfig() is None:
        say("building what is missing of images and cluster (all of it takes 15 to 20 minutes)")
        require_node_support(say)
        tool("pause", say)  # the smallest: it tells at once when there is no Go to build all others with
        # Beside one another: each leaves processors idle, while something is downloaded or linked.
        with ThreadPoolExecutor() as pool:
            images = pool.submit(_told, lambda: build(IMAGES, say))
            _told(cluster.up)
        for image in images.result():
            cluster.load_image(image.archive)
    else:
        cluster.up()
        say(_needs())
    platform = Platform(cluster)
    _refuse_foreign(platform)
    platform.namespace(GIT)  # first of all, since it tells that the rest is the demo's
    say("installing CRDs and operator")
    platform.install_operator()
    say("starting a git server with the example DAG")
    platform.install_git({"dags": QUICKSTART / "dags"})
    first_environment(platform)


def _told(work: Callable[[], T]) -> T:
    """Do it, and say at once why it fails: what runs beside it may go on for minutes."""
    try:
        return work()
    except LocalClusterError as error:
        say(click.style(str(error), fg="red"))
        raise


def first_environment(platform: Platform) -> None:
    """Apply the example, tell how it comes up, run its DAG, and say what to try next."""
    say("applying examples/quickstart: a namespace, a class, a tenant, an environment")
    for file in ("namespace", "class", "tenant", "environment"):
        platform.apply(QUICKSTART / f"{file}.yaml")
    _follow(platform)
    say(f"running the DAG {DAG!r} through Airflow's REST API")
    state = asyncio.run(run_dag(platform, NAMESPACE, NAME, DAG))
    if state != "success":
        raise PlatformError(f"the run of DAG {DAG!r} ended as {state!r}, not as 'success'")
    say(click.style("the DAG has succeeded", fg="green"))
    _explain(platform)


@cli.command()
def down() -> None:
    """Remove everything that `up` made."""
    cluster = Cluster("demo", progress=say)
    if current_kubeconfig() is None:
        cluster.down()
        return
    platform = Platform(cluster)
    if not _has_airfield(platform):
        say("there is no Airfield in this cluster, so nothing is removed")
        return
    _refuse_foreign(platform)
    for file in ("environment", "tenant", "class", "namespace"):
        if file == "tenant":
            _await_empty_tenant(platform)
        platform.kubectl("delete", "--ignore-not-found", "--wait", "-f", str(QUICKSTART / f"{file}.yaml"))
    platform.helm("uninstall", "airfield", "--ignore-not-found", "--wait")
    platform.kubectl("delete", "--ignore-not-found", "-f", str(REPOSITORY / "crds"))
    platform.kubectl("delete", "--ignore-not-found", "namespace", GIT, SYSTEM)
    platform.kubectl("delete", "--ignore-not-found", "clusterrole,clusterrolebinding", "airfield")


def _await_empty_tenant(platform: Platform) -> None:
    """A tenant that says it has environments is not deleted; it takes a moment to say that it has none any more."""
    deadline = time.monotonic() + TENANT_SECONDS
    names = ("get", "--ignore-not-found", "-f", str(QUICKSTART / "tenant.yaml"), "-o", "jsonpath={.status.inUseBy[*]}")
    while (left := platform.kubectl(*names)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if left:
        raise PlatformError(f"the demo's tenant still has environments: {left}; delete them first")


def _has_airfield(platform: Platform) -> bool:
    return bool(platform.kubectl("get", "crd", CRD, "--ignore-not-found", "-o", "name"))


def _refuse_foreign(platform: Platform) -> None:
    """End before an Airfield that others use loses its operator, its CRDs or its resources to the demo."""
    if not _has_airfield(platform):
        return
    marked = platform.kubectl("get", "namespace", GIT, "--ignore-not-found", "-o", "name")
    found = platform.get("afenv,aftenant,afclass", "-A")["items"]
    used = [f"{item['kind']} {name}" for item in found if (name := _full_name(item)) not in OWN[item["kind"]]]
    if used or not marked:
        what = f" ({', '.join(used)})" if used else f" (it has the CRDs, and no namespace {GIT!r})"
        raise PlatformError(
            f"this cluster has an Airfield that is not, or not only, the demo's{what}: nothing was changed. Use another"
            " cluster; to get rid of the demo's parts in this one, remove them by hand"
        )


def _full_name(item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return "/".join(metadata[part] for part in ("namespace", "name") if part in metadata)


def _needs() -> str:
    references = ", ".join(RECIPES[name].reference for name in IMAGES)
    go = ".".join(map(str, MINIMUM_GO))
    return (
        f"CLUSTER=current: your cluster must have the images {references}, a default StorageClass with ReadWriteOnce"
        " volumes, and about 2 GiB of memory on one node; you must be its administrator. Build and load the images"
        " first, see docs/images.md (kind: `kind load image-archive`, k3s: `k3s ctr images import`). This machine needs"
        f" Go {go} or newer: helm and kubectl are built the first time, which takes some minutes"
    )


def _follow(platform: Platform) -> None:
    """Wait until the environment is Ready, and say what it waits for whenever that changes."""
    last = ""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        found = platform.get("-n", NAMESPACE, "afenv", NAME)
        status = found.get("status", {})
        current = status.get("observedGeneration", -1) == found["metadata"]["generation"]
        ready = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), None)
        if ready is not None and ready["status"] == "True" and current:
            say(click.style(f"environment {NAMESPACE}/{NAME} is Ready", fg="green"))
            return
        news = f"{ready['reason']}: {ready['message']}" if ready else "waiting for the operator"
        if news != last:
            say(f"  {news}")
            last = news
        time.sleep(1.0)  # each look is a process, and Airflow needs the processors
    raise PlatformError(f"the environment is not Ready after {READY_SECONDS} s: {last}")


def _explain(platform: Platform) -> None:
    """Where it is, how to get in, what to try next."""
    kubeconfig = platform.cluster.kubeconfig
    own = current_kubeconfig() is None
    url = f"http://{platform.service_address(NAMESPACE, f'{NAME}-api-server')}:8080" if own else "http://127.0.0.1:8080"
    password = f"kubectl -n {NAMESPACE} get secret {NAME}-admin -o jsonpath='{{.data.password}}' | base64 -d"
    lines = [
        "",
        click.style("Airflow", bold=True) + f"    {url}",
        *([] if own else [f"           after: kubectl -n {NAMESPACE} port-forward service/{NAME}-api-server 8080"]),
        "Log in     user admin, password from",
        f"             {password}",
        "",
        click.style("Try next", bold=True),
        f"  export KUBECONFIG={kubeconfig} PATH={REPOSITORY / 'bin'}:$PATH",
        f"  kubectl airfield status {NAME} -n {NAMESPACE}",
        f"  kubectl -n {NAMESPACE} delete deployment {NAME}-scheduler; kubectl -n {NAMESPACE} get deployments -w",
        f"  kubectl airfield explain {NAME} -n {NAMESPACE}",
        "",
        "`make demo-down` removes everything.",
    ]
    click.echo("\n".join(lines))


def main() -> int:
    """Run the command; problems that a person can mend are one sentence, not a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (LocalClusterError, PlatformError) as error:
        click.echo(f"demo: {error}", err=True)
        return 1
    except click.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
