from __future__ import annotations

import json
import ssl
import stat
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airfield.kube import credentials
from airfield.kube.credentials import TOKEN_MAX_AGE, CredentialsError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Paths of a self-signed certificate and its key."""
    folder = tmp_path_factory.mktemp("pki")
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=test")
    now = datetime.now(UTC)
    tomorrow = now + timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, tomorrow)
    signed = builder.sign(key, hashes.SHA256())
    cert, private = folder / "tls.crt", folder / "tls.key"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(cert), str(private)


@pytest.fixture
def in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: tuple[str, str]) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first\n")
    (folder / "namespace").write_text("airfield-system")
    (folder / "ca.crt").symlink_to(certificate[0])
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", folder)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "198.19.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    return folder


def write_kubeconfig(path: Path, user: dict[str, Any], **cluster: Any) -> str:
    document = {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}},
            {"name": "two", "context": {"cluster": "c", "user": "nobody"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://api.example:6443/", **cluster}}],
        "users": [{"name": "u", "user": user}, {"name": "nobody", "user": {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.usefixtures("in_cluster")
async def test_in_cluster() -> None:
    found = credentials.load()
    assert (found.url, found.namespace) == ("https://198.19.0.1:6443", "airfield-system")
    assert found.ssl is not None
    assert found.ssl.verify_mode == ssl.CERT_REQUIRED
    assert await found.headers() == {"Authorization": "Bearer first"}


@pytest.mark.usefixtures("in_cluster")
def test_an_ipv6_service_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert credentials.load().url == "https://[fd00::1]:6443"


async def test_the_token_is_read_again_after_a_while(in_cluster: Path) -> None:
    now = [100.0]
    found = credentials.from_service_account(in_cluster, clock=lambda: now[0])
    (in_cluster / "token").write_text("second")
    now[0] += TOKEN_MAX_AGE - 1
    assert await found.headers() == {"Authorization": "Bearer first"}
    now[0] += 1
    assert await found.headers() == {"Authorization": "Bearer second"}


@pytest.mark.parametrize("missing", ["token", "ca.crt", "namespace"])
def test_a_missing_file_of_the_service_account_is_named(in_cluster: Path, missing: str) -> None:
    (in_cluster / missing).unlink()
    with pytest.raises(CredentialsError, match=r"serviceaccount.*automountServiceAccountToken"):
        credentials.load()


@pytest.mark.usefixtures("in_cluster")
@pytest.mark.parametrize("by", ["environment", "context"])
def test_a_kubeconfig_takes_precedence_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    path = write_kubeconfig(tmp_path / ".kube" / "config", {"token": "t"})
    if by == "environment":
        monkeypatch.setenv("KUBECONFIG", path)
    found = credentials.load(None if by == "environment" else "one")
    assert (found.url, found.namespace) == ("https://api.example:6443", "team-a")


async def test_users_of_a_kubeconfig(tmp_path: Path, certificate: tuple[str, str]) -> None:
    path, (cert, key) = tmp_path / "kubeconfig", certificate
    found = credentials.from_kubeconfig(path=write_kubeconfig(path, {"token": "t"}, **{"certificate-authority": cert}))
    assert await found.headers() == {"Authorization": "Bearer t"}
    user = {"client-certificate": cert, "client-key": key}
    found = credentials.from_kubeconfig(path=write_kubeconfig(path, user, **{"tls-server-name": "kubernetes"}))
    assert await found.headers() == {}
    assert found.server_hostname == "kubernetes"
    found = credentials.from_kubeconfig("two", write_kubeconfig(path, {}, **{"insecure-skip-tls-verify": True}))
    assert found.ssl is not None
    assert found.ssl.verify_mode == ssl.CERT_NONE
    assert found.namespace == "default"


def test_embedded_keys_are_left_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: tuple[str, str]
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(files))
    cert, key = [b64encode(Path(path).read_bytes()).decode() for path in certificate]
    user, path = {"client-certificate-data": cert, "client-key-data": key}, tmp_path / "kubeconfig"
    for _ in range(2):  # what is written once is remembered
        found = credentials.from_kubeconfig(path=write_kubeconfig(path, user, **{"certificate-authority-data": cert}))
        assert found.ssl is not None
        assert found.ssl.cert_store_stats()["x509"] == 1
        assert not list(files.iterdir())


async def test_an_exec_plugin(tmp_path: Path) -> None:
    api_version = "client.authentication.k8s.io/v1"
    answer = {"apiVersion": api_version, "kind": "ExecCredential", "status": {"token": "from-plugin"}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    plugin.chmod(stat.S_IRWXU)
    user = {"exec": {"apiVersion": api_version, "command": str(plugin), "interactiveMode": "Never"}}
    found = credentials.from_kubeconfig(path=write_kubeconfig(tmp_path / "kubeconfig", user))
    assert await found.headers() == {"Authorization": "Bearer from-plugin"}


@pytest.mark.parametrize(
    ("context", "content", "message"),
    [
        (None, None, "cannot load kubeconfig .*kubeconfig: "),
        ("none", "good", r"\(context 'none'\): .*none"),
        (None, "bad-ca", "cannot load kubeconfig"),
        (None, "not yaml: [", "cannot load kubeconfig"),
    ],
)
def test_an_unusable_kubeconfig_is_named(
    tmp_path: Path, context: str | None, content: str | None, message: str
) -> None:
    path = tmp_path / "kubeconfig"
    match content:
        case "good":
            write_kubeconfig(path, {"token": "t"})
        case "bad-ca":
            write_kubeconfig(path, {"token": "t"}, **{"certificate-authority": str(path)})
        case str():
            path.write_text(content)
    with pytest.raises(CredentialsError, match=message):
        credentials.from_kubeconfig(context, str(path))
