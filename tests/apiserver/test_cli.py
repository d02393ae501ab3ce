"""The command against a real API server, and its YAML as the real kubectl reads it."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from airfield.api import meta
from airfield.api.conditions import ConditionType
from airfield.api.environment import AirflowEnvironmentStatus, Stage
from airfield.api.tenant import AirflowTenant
from airfield.cli.output import to_yaml
from airfield.environment.outcome import Done, Outcome, Stall, Wait
from airfield.environment.quota import Ask
from airfield.environment.reasons import Reason
from airfield.environment.status import PHASES, conditions
from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airfield.kube.kinds import Ref
from airfield.tenant.status import tenant_status
from clusters import kubectl
from demo.platform import Platform
from localcluster import Cluster, tool

pytestmark = pytest.mark.apiserver

BIN = Path(sys.executable).parent
REPOSITORY = Path(__file__).parents[2]
AMBIGUOUS = (
    "y n Y no on off true null ~ 1 01 0o17 0x1F 1e3 1.5 .5 1_000 22:22 2026-11-21 = - .inf .nan NaN a:b a: -a @a"
    " 'a \"a {a} [a] #a a#b |a >a %a `a !a &a *a ?a"
)
HOSTILE = [
    *AMBIGUOUS.split(" "),
    "",
    " a",
    "a ",
    "a: b",
    "a #b",
    "a\n",
    "\na",
    " \n a\n\n",
    "a\r\nb",
    "a\tb",
    "\t",
    "ü",
]
HOSTILE += [
    "---\na",
    "a\n---\n",
    "...",
    "\x7f\x1b[31m",
    "\u2028",
    "\ufeff",
    "😀",
    "a\u0085b",
    "\n\u0085",
    "a\n\u2028b",
    "{{ x }}",
    "a\\nb",
    "$(x)",
]


class Site:
    """A namespace with a tenant, a class, and the environment `demo`; we are its operator."""

    def __init__(self, kube: KubeClient, kubeconfig: Path) -> None:
        self.kube = kube
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "TERM": "xterm"}
        self.environment.pop("NO_COLOR", None)
        self.namespace = f"cli-{uuid.uuid4().hex[:8]}"
        self.ref = Ref(meta.API_VERSION, "AirflowEnvironment", self.namespace, "demo")

    def part(self, name: str) -> dict[str, Any]:
        """One of the quickstart's resources, renamed to stand alone in a shared cluster."""
        text = (REPOSITORY / "examples/quickstart" / f"{name}.yaml").read_text()
        names = {"team-a-dev": self.namespace, "standard": self.namespace, "name: team-a": f"name: {self.namespace}"}
        for old, new in names.items():
            text = text.replace(old, new)
        manifest: dict[str, Any] = yaml.safe_load(text)
        return manifest

    async def change(self, **spec: Any) -> None:
        await self.kube.patch(self.ref, {"spec": spec})

    async def report(self, outcomes: Mapping[ConditionType, Outcome], **known: Any) -> None:
        """Write the status that the operator would write."""
        live = await self.kube.get(self.ref)
        assert live is not None
        previous = AirflowEnvironmentStatus.model_validate(live["status"])
        generation = live["metadata"]["generation"]
        found = conditions(previous, outcomes, generation=generation, now=datetime.now(UTC))
        status = {"observedGeneration": generation, "conditions": [c.to_json() for c in found], **known}
        await self.kube.apply_status(self.ref, status)

    async def ready(self) -> None:
        await self.report(dict.fromkeys(PHASES, Done()), version="3.3.2", tenant=self.namespace, **KNOWN)

    @contextlib.asynccontextmanager
    async def start(self, *arguments: str) -> AsyncIterator[Process]:
        """The command, running."""
        process = await asyncio.create_subprocess_exec(
            BIN / "airfield",
            *arguments,
            stdout=PIPE,
            stderr=PIPE,
            env=self.environment,
            # A shell that runs the tests in the background has them, and so their children, ignore Ctrl-C.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        try:
            async with asyncio.timeout(60):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        """Exit code, stdout and stderr of the command."""
        async with self.start(*arguments) as process:
            stdout, stderr = await process.communicate()
        return process.returncode, stdout.decode(), stderr.decode()


KNOWN = {
    "adminSecret": "demo-admin",
    "url": "http://demo",
    "objects": 22,
    "database": {"mode": "embedded", "host": "demo-db", "name": "airflow"},
}


@pytest.fixture(scope="module")
def kubeconfig(control_plane: Cluster) -> Path:
    """Leads to an API server that has our CRDs."""
    kubectl(control_plane, "apply", "--server-side", "--force-conflicts", "-f", str(REPOSITORY / "crds"))
    Platform(control_plane).await_crds()
    return control_plane.kubeconfig


@pytest.fixture
async def site(kubeconfig: Path) -> AsyncIterator[Site]:
    async with KubeClient(credentials.from_kubeconfig(path=str(kubeconfig))) as kube:
        site = Site(kube, kubeconfig)
        made = [site.part(name) for name in ("namespace", "class", "tenant", "environment")]
        for manifest in made:
            await kube.apply(manifest)
        yield site
        for manifest in reversed(made):
            await kube.delete(Ref.of(manifest))


def test_kubectl_reads_our_yaml_as_it_was_meant() -> None:
    data = {f"k{i}": text for i, text in enumerate(HOSTILE)}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
    command = [str(tool("kubectl")), "annotate", "--local", "-f", "-", "a=b", "-o", "json"]
    done = subprocess.run(command, input=to_yaml([manifest]), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["data"] == data


async def test_before_the_operator_has_looked(site: Site) -> None:
    code, out, _ = await site.run("status", "demo", "-n", site.namespace)
    assert code == 0
    assert "Ready:      Unknown (the operator has not looked at it yet; does it run?)" in out
    code, out, err = await site.run("status", "-n", site.namespace, "--wait", "--timeout", "1s")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"Error: not Ready after 1 s: {site.namespace}/demo: the operator has not")


async def test_tables_and_pages(site: Site) -> None:
    await site.ready()
    code, out, _ = await site.run("status", "-n", site.namespace)
    head, line = out.splitlines()
    assert (code, head.split()) == (0, ["NAMESPACE", "NAME", "READY", "STATUS", "VERSION", "TENANT", "CLASS", "AGE"])
    assert line.split()[:-1] == [site.namespace, "demo", "True", "Serving", "3.3.2", site.namespace, site.namespace]
    assert [head.index(name) for name in ("NAME ", "READY")] == [line.index("demo"), line.index("True")]
    for arguments in (["-A"], ["--tenant", site.namespace]):
        assert line.split()[:-1] in [
            found.split()[:-1] for found in (await site.run("status", *arguments))[1].splitlines()
        ]
    assert (await site.run("status", "--tenant", "other"))[1] == ""

    code, out, _ = await site.run("status", "demo", "-n", site.namespace)
    assert code == 0
    for text in ("Ready:      True (Serving: ", "Database:   embedded, demo-db, airflow", "Objects:    22"):
        assert text in out
    assert [text.split()[0] for text in out.split("CONDITION")[1].splitlines()[1:]] == ["Ready", *PHASES]

    listed = json.loads((await site.run("status", "-n", site.namespace, "-o", "json"))[1])
    one = json.loads((await site.run("status", "demo", "-n", site.namespace, "-o", "json"))[1])
    assert listed["items"] == [one]
    assert one["metadata"]["name"] == "demo"
    assert "managedFields" not in one["metadata"]


async def test_tenants(site: Site) -> None:
    """As the operator reports them; and before it has."""
    ref = Ref(meta.API_VERSION, "AirflowTenant", "", site.namespace)
    code, page, _ = await site.run("tenants", site.namespace)
    assert code == 0
    assert "Ready:        Unknown (the operator has not looked at it yet)" in page
    place = {"name": site.namespace, "stages": ["dev", "test"]}
    people = {"owners": [{"kind": "Group", "name": "leads"}]}
    people |= {"editors": [{"kind": "ServiceAccount", "name": "ci", "namespace": "builds"}]}
    await site.kube.patch(ref, {"spec": {"namespaces": [place], "quota": {"environments": 10, "cpu": "20"}, **people}})
    spec = (await site.kube.get(ref) or {})["spec"]
    claim = AirflowTenant.model_validate({**site.part("tenant"), "spec": spec})
    ask = Ask(Stage.DEV, Decimal("1.35"), Decimal(0), Decimal(0))
    keys = {(site.namespace, "demo"): "dev", (site.namespace, "other"): "test"}
    status = tenant_status(claim, (), keys, keys, [ask, ask], None, datetime.now(UTC))
    await site.kube.apply_status(ref, status.model_dump(mode="json", by_alias=True, exclude_none=True))

    code, table, _ = await site.run("tenants")
    head, *lines = table.splitlines()
    assert (code, head.split()) == (0, ["NAME", "READY", "STATUS", "ENVIRONMENTS", "STAGES", "QUOTA", "AGE"])
    (line,) = [each for each in lines if each.startswith(f"{site.namespace} ")]
    for text in ("True", "Succeeded", "2   ", "dev 1, test 1", "environments 2/10, cpu 2700m/20"):
        assert text in line
    code, page, _ = await site.run("tenants", site.namespace)
    for text in (
        f"Namespaces:   {site.namespace} (dev, test)",
        "Owners:       Group leads",
        "Editors:      ServiceAccount builds/ci",
        f"Environments: 2 (dev 1, test 1): {site.namespace}/demo, {site.namespace}/other",
        "Deletion:     Refuse",
    ):
        assert text in page
    assert [text.split() for text in page.splitlines()[-3:]] == [
        ["QUOTA", "USED", "LIMIT"],
        ["environments", "2", "10"],
        ["cpu", "2700m", "20"],
    ]
    one = json.loads((await site.run("tenants", site.namespace, "-o", "json"))[1])
    listed = json.loads((await site.run("tenants", "-o", "json"))[1])
    assert one in listed["items"]
    assert "managedFields" not in one["metadata"]
    code, _, err = await site.run("tenants", "nobody")
    assert (code, err) == (1, "Error: there is no AirflowTenant 'nobody'\n")


async def test_the_command_that_reads_the_login(site: Site) -> None:
    await site.ready()
    login = {"username": "admin", "password": "s3cret $x"}
    metadata = {"name": "demo-admin", "namespace": site.namespace}
    await site.kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": login})
    _, page, _ = await site.run("status", "demo", "-n", site.namespace)
    (command,) = [line.strip() for line in page.splitlines() if line.strip().startswith("kubectl ")]
    path = f"{Path(tool('kubectl')).parent}:{os.environ['PATH']}"
    done = subprocess.run(  # noqa: ASYNC221 - nothing else is going on
        ["sh", "-c", command], env=site.environment | {"PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "admin s3cret $x\n"
    assert "s3cret" not in page


async def test_waiting(site: Site) -> None:
    async with site.start("status", "demo", "-n", site.namespace, "--wait", "--timeout", "1m") as process:
        assert process.stderr
        assert process.stdout
        assert b"0 of 6 phases done, the operator has not looked" in await process.stderr.readline()
        waits: dict[ConditionType, Outcome] = {
            ConditionType.RESOLVED: Done(),
            ConditionType.KEYS_READY: Wait(Reason.SECRET_NOT_FOUND, "make\x1b[2J it"),
        }
        await site.report(waits)
        assert rb"1 of 6 phases done, SecretNotFound: make\x1b[2J it" in await process.stderr.readline()
        await site.ready()
        assert (await process.stderr.readline()).rstrip().endswith(b"demo: Ready")
        assert b"Ready:      True" in await process.stdout.read()
        assert await process.wait() == 0


async def test_a_ready_of_yesterday_is_not_enough(site: Site) -> None:
    await site.ready()
    assert (await site.run("status", "demo", "-n", site.namespace, "--wait", "--timeout", "0"))[0] == 1
    assert (await site.run("status", "demo", "-n", site.namespace, "--wait"))[0] == 0
    await site.change(executor="KubernetesExecutor")
    code, _, err = await site.run("status", "demo", "-n", site.namespace, "--wait", "--timeout", "1s")
    assert code == 1
    assert "the operator has not seen the last change yet" in err


async def test_waiting_for_what_is_not_there(site: Site) -> None:
    code, _, err = await site.run("status", "other", "-n", site.namespace, "--wait")
    assert (code, err) == (1, f"Error: there is no AirflowEnvironment 'other' in namespace '{site.namespace}'\n")
    assert (await site.run("status", "-n", "nowhere", "--wait"))[0] == 1


async def test_watching(site: Site) -> None:
    async with site.start("status", "demo", "-n", site.namespace, "--watch") as process:
        assert process.stdout
        assert (await process.stdout.readline()).startswith(b"NAMESPACE ")
        assert (await process.stdout.readline()).split()[1:4] == [b"demo", b"Unknown", b"<none>"]
        await site.report({ConditionType.RESOLVED: Stall(Reason.INVALID_SPEC, "no")})
        assert (await process.stdout.readline()).split()[1:4] == [b"demo", b"False", b"InvalidSpec"]
        await site.ready()
        assert (await process.stdout.readline()).split()[1:4] == [b"demo", b"True", b"Serving"]
        await site.kube.delete(site.ref)
        assert (await process.stdout.readline()).split()[1:4] == [b"demo", b"False", b"Deleted"]
        process.send_signal(signal.SIGINT)
        stdout, stderr = await process.communicate()
        assert (process.returncode, stdout, stderr) == (130, b"", b"")


async def test_watching_as_json(site: Site) -> None:
    async with site.start("status", "-n", site.namespace, "--watch", "-o", "json") as process:
        assert process.stdout
        assert "conditions" not in json.loads(await process.stdout.readline())["status"]
        await site.ready()
        assert json.loads(await process.stdout.readline())["status"]["conditions"]


async def test_colours_on_a_terminal_only(site: Site) -> None:
    await site.ready()
    assert "\x1b" not in (await site.run("status", "-n", site.namespace))[1]
    for extra, expected in (({}, True), ({"NO_COLOR": "1"}, False)):
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            BIN / "airfield", "status", "-n", site.namespace, stdout=theirs, env=site.environment | extra
        )
        os.close(theirs)
        assert await process.wait() == 0
        assert ("\x1b[32mTrue\x1b[0m" in os.read(ours, 65536).decode()) is expected
        os.close(ours)


async def test_explain_and_render_ask_the_cluster(site: Site, tmp_path: Path) -> None:
    code, out, err = await site.run("explain", "demo", "components.scheduler.replicas", "-n", site.namespace)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == ["components.scheduler.replicas", "1", "bundled", "defaults"]

    path = tmp_path / "environment.yaml"
    path.write_text(yaml.safe_dump(site.part("environment")))
    helm = ("--helm", str(tool("helm")), "--kube-version", "1.36.3")
    assert (await site.run("render", "-f", str(path), *helm))[0] == 1
    code, by_cluster, _ = await site.run("render", "-f", str(path), *helm, "--cluster")
    assert code == 0
    for name in ("class", "tenant"):
        path.write_text(f"{path.read_text()}\n---\n{yaml.safe_dump(site.part(name))}")
    assert (await site.run("render", "-f", str(path), *helm))[1] == by_cluster
    own = yaml.safe_load_all(by_cluster)
    for manifest in own:
        await site.kube.apply(manifest, dry_run=True)


async def test_explain_says_what_resolve_says(site: Site) -> None:
    await site.change(className="none-such")
    code, out, err = await site.run("explain", "demo", "-n", site.namespace)
    assert (code, out) == (1, "")
    assert "ClassNotFound: spec.className: there is no AirflowEnvironmentClass 'none-such'" in err


async def test_kubectl_runs_it(site: Site) -> None:
    await site.ready()
    path = f"{BIN}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        tool("kubectl"),
        *("airfield", "status", "demo", "-n", site.namespace),
        stdout=PIPE,
        env=site.environment | {"PATH": path},
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    assert b"Ready:      True" in stdout


async def test_contexts(site: Site) -> None:
    code, _, err = await site.run("status", "-A", "--context", "elsewhere")
    assert code == 1
    assert "(context 'elsewhere')" in err
