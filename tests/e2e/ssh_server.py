"""A git server that is reached by SSH: an address of this machine, one repository, one key that it lets in."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

ALGORITHM = "ssh-ed25519"


@dataclass(frozen=True)
class SshServer:
    """How a user gets there."""

    url: str
    private_key: str
    known_hosts: str
    """The line that names the server and its key."""

    def impostor(self) -> str:
        """The line of another server at the same address."""
        place, _, _ = self.known_hosts.partition(" ")
        return f"{place} {_public(asyncssh.generate_private_key(ALGORITHM))}"


@contextmanager
def ssh_server(address: str, files: Path, folder: Path) -> Iterator[SshServer]:
    """Within the block it serves `files`, committed on `main`; what it needs it puts into `folder`."""
    repository = _repository(files, folder)
    host, user = (asyncssh.generate_private_key(ALGORITHM) for _ in range(2))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="ssh-server")
    thread.start()
    try:
        listening = asyncio.run_coroutine_threadsafe(_listen(address, host, user, repository), loop).result(30)
        try:
            port = listening.get_port()
            url = f"ssh://git@{address}:{port}/{repository.name}"
            private = user.export_private_key().decode()
            yield SshServer(url, private, f"[{address}]:{port} {_public(host)}")
        finally:
            asyncio.run_coroutine_threadsafe(_end(listening), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _repository(files: Path, folder: Path) -> Path:
    work, bare = folder / "work", folder / "secured.git"
    work.mkdir()
    for file in files.glob("*.py"):
        (work / file.name).write_bytes(file.read_bytes())
    git = ("git", "-C", str(work), "-c", "user.name=airfield", "-c", "user.email=airfield@localhost")
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for command in (("init", "-q", "-b", "main"), ("add", "--all"), ("commit", "-q", "-m", "Seed")):
        subprocess.run([*git, *command], env=environ, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], env=environ, check=True)
    return bare


def _public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


async def _listen(address: str, host: asyncssh.SSHKey, user: asyncssh.SSHKey, repository: Path) -> asyncssh.SSHAcceptor:
    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        wanted = f"git-upload-pack '/{repository.name}'"
        if process.command != wanted:
            process.stderr.write(f"only {wanted}, not {process.command}\n".encode())
            process.exit(1)
            return
        git = await asyncio.create_subprocess_exec(
            "git", "upload-pack", str(repository), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            await process.redirect(stdin=git.stdin, stdout=git.stdout)
            code = await git.wait()
            await process.stdout.drain()
            process.exit(code)
            await process.wait_closed()
        finally:
            if git.returncode is None:
                git.kill()

    clients = asyncssh.import_authorized_keys(_public(user))
    return await asyncssh.listen(
        address,
        0,
        server_host_keys=[host],
        authorized_client_keys=clients,
        process_factory=serve,
        encoding=None,
    )


async def _end(listening: asyncssh.SSHAcceptor) -> None:
    listening.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}  # of connections that clients have not ended
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
