"""A git server in one file: smart HTTP through `git http-backend`, with a login when GIT_PASSWORD is set.

Serves /srv/git; every folder of /seed becomes a repository there at the start, its files committed on `main`, tag `v1`.
"""

import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path("/srv/git")
SEED = Path("/seed")


def seed(folder: Path) -> None:
    """Make a bare repository of a folder's files."""
    work = Path("/tmp/work") / folder.name  # noqa: S108 - an emptyDir of the pod
    bare = ROOT / f"{folder.name}.git"
    if bare.exists():
        return
    work.mkdir(parents=True)
    git = ["git", "-C", str(work), "-c", "user.name=airfield", "-c", "user.email=airfield@localhost"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    for file in folder.iterdir():
        if file.is_file():
            (work / file.name).write_bytes(file.read_bytes())
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message=Seed"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", str(work), str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "config", "http.receivepack", "true"], check=True)


class Handler(BaseHTTPRequestHandler):
    """Hands requests to git's own CGI program."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._serve(body)

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data

    def _serve(self, body: bytes) -> None:
        password = os.environ.get("GIT_PASSWORD")
        login = "Basic " + base64.b64encode(f"git:{password}".encode()).decode()
        if password and self.headers.get("Authorization") != login:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            return
        path, _, query = self.path.partition("?")
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(ROOT),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "git",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        self._answer(status, headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    for repository in SEED.iterdir():
        if repository.is_dir() and not repository.name.startswith("."):
            seed(repository)
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
