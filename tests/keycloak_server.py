"""A real OpenID Connect provider: Keycloak, out of Maven's registry, in memory, with a realm that a test describes.

The distribution is fetched and prepared once, into the cache; Java and Maven are Debian's packages.
"""

import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster.host import apt_install
from localcluster.pki import Authority
from localcluster.workspace import cache_folder, locked

Json = dict[str, Any]
VERSION = "26.4.0"
ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"
REALM, PORT = "company", 8443
START_SECONDS = 300
OPTIONS = "-Xmx512m -XX:TieredStopAtLevel=1 -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
"""It runs for two minutes: nothing is worth being compiled well; and checking byte code took an eighth of its work."""
PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}


@dataclass
class Keycloak:
    """One that runs on this machine, at `host`."""

    host: str
    folder: Path
    process: subprocess.Popen[bytes]
    _password: str
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))

    @property
    def url(self) -> str:
        return f"https://{self.host}:{PORT}"

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/{REALM}"

    @property
    def ca(self) -> str:
        return (self.folder / "ca.crt").read_text(encoding="utf-8")

    def until_ready(self, realm: Json) -> None:
        """Wait until it answers, and make the realm."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._call("GET", "/realms/master")
            except (OSError, urllib.error.HTTPError):
                log = (self.folder / "log").read_text(encoding="utf-8")
                assert self.process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.2)
            else:
                break
        self.manage("POST", "/admin/realms", realm)

    def token(self, **form: str) -> Json:
        """What the realm's token endpoint answers."""
        found: Json = self._call("POST", f"/realms/{REALM}/protocol/openid-connect/token", form=form)
        return found

    def manage(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the administrator's."""
        login = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": self._password}
        token = self._call("POST", "/realms/master/protocol/openid-connect/token", form=login)["access_token"]
        return self._call(method, path, body, token=token)

    def kill(self) -> None:
        """End it at once: all of it is in memory."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its script is the parent of Java
        self.process.wait()

    def leave_groups(self, username: str) -> None:
        """Take somebody out of all groups."""
        (user,) = self.manage("GET", f"/admin/realms/{REALM}/users?exact=true&username={username}")
        where = f"/admin/realms/{REALM}/users/{user['id']}/groups"
        for group in self.manage("GET", where):
            self.manage("DELETE", f"{where}/{group['id']}")

    def replace(self, username: str, group: str, password: str) -> None:
        """Delete somebody, and give the name to somebody new."""
        (old,) = self.manage("GET", f"/admin/realms/{REALM}/users?exact=true&username={username}")
        self.manage("DELETE", f"/admin/realms/{REALM}/users/{old['id']}")
        self.manage("POST", f"/admin/realms/{REALM}/users", _user(username, group, password))

    def _call(
        self, method: str, path: str, body: Any = None, *, form: Mapping[str, str] | None = None, token: str = ""
    ) -> Any:
        data = urllib.parse.urlencode(form) if form else json.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(  # noqa: S310 - our own URL
            self.url + path, data.encode() if data is not None else None, headers, method=method
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context)
        )
        with opener.open(request, timeout=120) as answer:
            return json.loads(answer.read() or b"null")


@contextmanager
def keycloak(host: str) -> Iterator[Keycloak]:
    """Start one that listens at the address `host`. It takes a while: `until_ready` waits."""
    home = _distribution()
    with tempfile.TemporaryDirectory(prefix="keycloak-") as name:
        folder = Path(name)
        Authority.create(folder).issue("server", "keycloak", hosts=(host,))
        password = secrets.token_urlsafe()
        environment = {
            "PATH": os.environ["PATH"],
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
            "JAVA_OPTS_APPEND": OPTIONS,
        }
        command = [
            str(home / "bin" / "kc.sh"),
            *("start", "--optimized", "--cache=local", f"--hostname=https://{host}:{PORT}"),
            *("--http-enabled=false", f"--http-host={host}", f"--https-port={PORT}"),
            f"--https-certificate-file={folder / 'server.crt'}",
            f"--https-certificate-key-file={folder / 'server.key'}",
        ]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True) as process,
        ):
            provider = Keycloak(host, folder, process, password)
            try:
                yield provider
            finally:
                provider.kill()


def _distribution() -> Path:
    """The folder of a Keycloak that is ready to start."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing:
        apt_install(*missing)
    home = cache_folder() / "keycloak" / VERSION
    with locked(home.with_name(f"{VERSION}.lock")):
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
                _prepare(Path(scratch)).rename(home)
    return home


def _prepare(scratch: Path) -> Path:
    fetch = ["mvn", "--quiet", "--batch-mode", "dependency:copy", f"-Dartifact={ARTIFACT}"]
    subprocess.run([*fetch, f"-DoutputDirectory={scratch}"], check=True, cwd=scratch)
    (archive,) = scratch.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(scratch, filter="data")
    home = scratch / f"keycloak-{VERSION}"
    subprocess.run([home / "bin" / "kc.sh", "build", "--db=dev-mem"], check=True, stdout=subprocess.DEVNULL)
    return home


def realm(
    clients: Mapping[str, Json], users: Mapping[str, tuple[str, str]], services: Mapping[str, tuple[str, str]]
) -> Json:
    """A realm's description. Tokens of every client name groups.

    `users`: name → group and password; `services`: id of a client → group of its account and secret.
    """
    mapper = {"protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper", "name": "groups"}
    claims = {"claim.name": "groups", "full.path": "false", "id.token.claim": "true", "access.token.claim": "true"}
    groups = {group for group, _ in (*users.values(), *services.values())}
    people = [_user(name, group, password) for name, (group, password) in users.items()]
    accounts = [
        {"username": f"service-account-{client}", "enabled": True, "serviceAccountClientId": client, "groups": [group]}
        for client, (group, _) in services.items()
    ]
    machines = {
        client: {"secret": secret, "serviceAccountsEnabled": True, "standardFlowEnabled": False}
        for client, (_, secret) in services.items()
    }
    described = []
    for name in {**clients, **machines}:
        client = {**machines.get(name, {"publicClient": True}), **clients.get(name, {})}
        mappers = [{**mapper, "config": claims}, *client.pop("protocolMappers", ())]
        described.append({"clientId": name, **client, "protocolMappers": mappers})
    return {
        "realm": REALM,
        "enabled": True,
        "groups": [{"name": group} for group in sorted(groups)],
        "users": people + accounts,
        "clients": described,
    }


def _user(name: str, group: str, password: str) -> Json:
    return {
        "username": name,
        "enabled": True,
        "email": f"{name}@example.com",
        "firstName": name.title(),
        "lastName": "Tester",
        "groups": [group],
        "credentials": [{"type": "password", "value": password}],
    }


def audience(name: str) -> Json:
    """A mapper by which a client's access tokens are for `name`."""
    config = {"included.custom.audience": name, "access.token.claim": "true"}
    kind = "oidc-audience-mapper"
    return {"protocol": "openid-connect", "protocolMapper": kind, "name": f"for {name}", "config": config}
