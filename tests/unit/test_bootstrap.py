"""tools/bootstrap.sh on machines that lack something: one sentence, and nothing is left behind."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "bootstrap.sh"
SH = shutil.which("sh")
NO_VENV = 'mkdir -p "$3"; echo "ensurepip is not available" >&2; exit 1'
PYTHON_WITHOUT_VENV = f'case "$*" in *"import ensurepip"*) exit 1;; "-c "*) exit 0;; esac; {NO_VENV}'
APT = 'echo "apt-get $*"; exit 100'


def bootstrap(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run it where these are the only programs, each given as the text of a shell script."""
    path = folder / "path"
    path.mkdir()
    for name, text in programs.items():
        (path / name).write_text(f"#!{SH}\n{text}\n")
        (path / name).chmod(0o755)
    for name in ("dirname", "mkdir", "rm"):
        (path / name).symlink_to(str(shutil.which(name)))
    pythons = [name for name in programs if name.startswith("python")]
    environ = {"PATH": str(path), "HOME": str(folder), "AIRFIELD_CACHE": str(folder / "cache")}
    return subprocess.run([str(SH), SCRIPT, *pythons], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "programs", [{"id": "echo 1000", "apt-get": APT}, {"id": "echo 0"}], ids=["not-root", "not-debian"]
)
def test_no_venv_and_no_way_to_get_it(tmp_path: Path, programs: dict[str, str]) -> None:
    done = bootstrap(tmp_path, python3=PYTHON_WITHOUT_VENV, **programs)
    assert (done.returncode, done.stdout) == (1, "")
    progress, said = done.stderr.splitlines()
    assert progress.startswith("installing uv ")
    assert said == (
        "airfield: python3 cannot make a virtual environment; as root, install its venv module"
        " (Debian: `apt-get install python3-venv`), then try again"
    )
    assert not list((tmp_path / "cache").glob("*"))


def test_root_on_debian_installs_it(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, python3=PYTHON_WITHOUT_VENV, id="echo 0", **{"apt-get": APT})
    assert done.returncode != 0
    assert "apt-get update" in done.stdout


def test_no_python(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, python3="exit 1")
    said = "airfield: there is no Python 3.11 or newer (python3); install one, or name it in AIRFIELD_PYTHON\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_the_first_that_can_make_virtual_environments_is_taken(tmp_path: Path) -> None:
    does = f'[ "$1" = -c ] && exit 0; echo "$0 made it" >&2; {NO_VENV}'
    programs = {"python3.14": "exit 1", "python3.13": PYTHON_WITHOUT_VENV, "python3.12": does, "python3.11": does}
    done = bootstrap(tmp_path, id="echo 1000", **programs)
    assert "airfield: python3.12 cannot make a virtual environment" in done.stderr
