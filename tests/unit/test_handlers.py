"""airfield.handlers: how kopf reaches the API server, and what it does not bring along."""

import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from airfield import handlers
from airfield.kube.credentials import Credentials
from airfield.kube.transport import session
from certificates import Authority


def credentials(url: str, *tokens: str) -> Credentials:
    """Whoever says another token each time."""
    said = iter(tokens)

    async def headers() -> dict[str, str]:
        return {"Authorization": next(said)}

    return Credentials(url, None, headers, namespace="airfield-system")


async def test_each_request_says_who_we_are_at_that_moment() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Authorization"])

    application = web.Application()
    application.router.add_get("/", answer)
    async with TestServer(application) as server, session(credentials(str(server.make_url("/")), "a", "b")) as http:
        for token in ("a", "b"):
            async with http.get(server.make_url("/")) as found:
                assert await found.text() == token


async def test_a_certificate_may_be_for_another_name_that_is_told(tmp_path: Path) -> None:
    """As a kubeconfig's tls-server-name does."""
    authority = Authority()
    for name, text in authority.issue("kubernetes").items():
        (tmp_path / name).write_text(text)
    presented = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    presented.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server = TestServer(web.Application())
    await server.start_server(ssl=presented)
    try:
        url = str(server.make_url("/"))
        access = replace(credentials(url, "a", "b"), ssl=ssl.create_default_context(cadata=authority.pem))
        async with session(access) as http:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await http.get(url)
        async with session(replace(access, server_hostname="kubernetes")) as http, http.get(url) as found:
            assert found.status == 404
    finally:
        await server.close()


async def test_nobody_else_is_told_who_we_are() -> None:
    """Wherever the API server, or whoever stands before it, leads."""
    told = []

    async def listen(request: web.Request) -> web.Response:
        told.append(request.headers.get("Authorization"))
        return web.Response()

    async def lead(request: web.Request) -> web.Response:
        told.append(request.headers.get("Authorization"))
        raise web.HTTPFound(str(other.make_url("/")))

    applications = (web.Application(), web.Application())
    for application, answer in zip(applications, (lead, listen), strict=True):
        application.router.add_get("/", answer)
    async with (
        TestServer(applications[0]) as server,
        TestServer(applications[1]) as other,
        session(credentials(str(server.make_url("/")), "a", "b")) as http,
    ):
        with pytest.raises(aiohttp.ClientConnectionError, match="leads to"):
            await http.get(server.make_url("/"))
    assert told == ["a"]


async def test_who_is_refused_comes_back_more_and_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses, now = [], [1000.0]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("airfield.handlers.asyncio.sleep", sleep)
    monkeypatch.setattr(handlers, "monotonic", lambda: now[0])
    login = handlers._login(credentials("https://api.example:6443"))
    found = [await login() for _ in range(3)]
    now[0] += handlers.CALM
    found += [await login(), await login()]
    assert pauses == [0.5, 1.0, 0.5]
    assert {(each.server, each.default_namespace) for each in found} == {
        ("https://api.example:6443", "airfield-system")
    }
    # What was refused is not taken again by kopf.
    assert len({id(each.aiohttp_session) for each in found}) == len(found)
    for each in found:
        await each.aiohttp_session.close()


def test_kopf_does_not_bring_the_kubernetes_package_along() -> None:
    """Which a pod has no use for."""
    code = "import sys, airfield.main; print([name for name in sys.modules if name.startswith('kubernetes')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
