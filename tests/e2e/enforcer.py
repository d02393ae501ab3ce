"""Enforces NetworkPolicies on the local node, by pod address with iptables: no ready-made plugin can be had there.

Only for the namespaces that a test names, since others on the node want to be left alone. A pod is held to what there
was at the last `sync`.
"""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from demo.platform import Platform, PlatformError
from e2e.reading import listed
from localcluster.instance import Instance
from networkpolicies import Peer, selecting, selects

Json = dict[str, Any]
CHAIN = "AIRFIELD-TEST"
MARK, CLEAR = ("-j", "MARK", "--set-xmark", "0x10/0x10"), ("-j", "MARK", "--set-xmark", "0x0/0x10")
PASSED = ("-m", "mark", "--mark", "0x10/0x10", "-j", "RETURN")


@dataclass
class Enforcer:
    """Rules for the pods of some namespaces of a local cluster."""

    platform: Platform
    namespaces: Sequence[str]
    instance: Instance
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sync(self) -> None:
        """Bring the rules to what policies and pods are now."""
        with self._lock:
            text = "\n".join(("*filter", f":{CHAIN} - [0:0]", *self._rules(), "COMMIT", ""))
            self._run("iptables-restore", "--noflush", "--wait=30", text=text)

    @contextmanager
    def enforcing(self, seconds: float = 0.5) -> Iterator[None]:
        """Within the block the rules hold, and follow what changes."""
        self.sync()
        ended = threading.Event()
        failures: list[Exception] = []

        def follow() -> None:
            while not ended.wait(seconds):
                try:
                    self.sync()
                except (AssertionError, PlatformError) as error:  # a busy machine; what lasts is told in the end
                    failures.append(error)
                else:
                    failures.clear()

        thread = threading.Thread(target=follow, daemon=True)
        with ExitStack() as stack:
            for chain in ("FORWARD", "INPUT"):
                self._run("iptables", "-w", "30", "-I", chain, "-j", CHAIN)
                stack.callback(self._run, "iptables", "-w", "30", "-D", chain, "-j", CHAIN)
            thread.start()
            stack.callback(thread.join)
            stack.callback(ended.set)
            yield
        assert not failures, failures

    def _rules(self) -> Iterator[str]:
        policies = self._all("networkpolicies")
        everybody = self._pods()
        # What is under way goes on; and a node always reaches its own pods.
        yield f"-A {CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
        yield f"-A {CHAIN} -s {self.instance.network.host} -j RETURN"
        number = 0
        for pod in (each for each in everybody if each.namespace in self.namespaces):
            for direction, mine, theirs in (("Egress", "-s", "-d"), ("Ingress", "-d", "-s")):
                found = selecting(policies, pod, direction)
                if not found:
                    continue
                number += 1
                chain = f"{CHAIN}-{number}"
                yield f":{chain} - [0:0]"
                yield f"-A {chain} {' '.join(CLEAR)}"
                for spec in found:
                    for rule in spec.get(direction.lower(), []):
                        yield from self._permits(chain, rule, direction, pod.namespace, theirs, everybody)
                yield f"-A {chain} {' '.join(PASSED)}"
                yield f"-A {chain} -j REJECT"
                yield f"-A {CHAIN} {mine} {pod.address} -j {chain}"

    def _permits(
        self, chain: str, rule: Json, direction: str, namespace: str, theirs: str, everybody: list[Peer]
    ) -> Iterator[str]:
        """Marks what a rule lets pass. The ranges that one excepts lose their mark again, as none of them overlaps."""
        ports = [_port(port) for port in rule.get("ports", [])] or [""]
        peers = rule.get("to" if direction == "Egress" else "from")
        for port in ports:
            for peer in peers or [{"ipBlock": {"cidr": "0.0.0.0/0"}}]:
                if ":" in peer.get("ipBlock", {}).get("cidr", ""):
                    continue
                if "ipBlock" in peer:
                    yield f"-A {chain} {theirs} {peer['ipBlock']['cidr']} {port} {' '.join(MARK)}"
                    for excepted in peer["ipBlock"].get("except", []):
                        yield f"-A {chain} {theirs} {excepted} {port} {' '.join(CLEAR)}"
                for other in everybody if "ipBlock" not in peer else []:
                    if selects(peer, namespace, other):
                        yield f"-A {chain} {theirs} {other.address} {port} {' '.join(MARK)}"

    def _all(self, kind: str) -> list[Json]:
        return listed(self.platform.cluster.kubeconfig, kind, "")

    def _pods(self) -> list[Peer]:
        labels = {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in self._all("namespaces")}
        found = []
        for pod in self._all("pods"):
            address, metadata = pod.get("status", {}).get("podIP"), pod["metadata"]
            if address and pod["status"].get("phase") in {"Pending", "Running"}:
                place = metadata["namespace"]
                own = metadata.get("labels", {})
                found.append(Peer(metadata["name"], address, place, own, labels.get(place, {})))
        return found

    def _run(self, *command: str, text: str | None = None) -> None:
        prefix = self.instance.network.prefix
        done = subprocess.run([*prefix, *command], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{text or ''}"


def _port(port: Json) -> str:
    first = port.get("port")
    which = f" --dport {first}:{port['endPort']}" if "endPort" in port else f" --dport {first}" if first else ""
    return f"-p {port.get('protocol', 'TCP').lower()}{which}"
