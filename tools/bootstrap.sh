#!/bin/sh
# bootstrap.sh [PYTHON ...]: prepares .venv from uv.lock, and nothing else, with the first of these Pythons that is 3.11 or
# newer and can make virtual environments; without any, with the first of those that are usual. Brings its own uv.
set -eu
cd "$(dirname "$0")/.."
version=0.13.8
home="${AIRFIELD_CACHE:-$HOME/.cache/airfield}/uv-$version"
uv="$home/bin/uv"
# First the distribution's own: what pyenv compiles lacks profile-guided optimization, and takes half as long again or more.
[ $# -gt 0 ] || set -- /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11
python=""
# In the end one that could make virtual environments if a package were added.
for modules in "ensurepip, sys" sys; do
    for candidate in "$@"; do
        if "$candidate" -c "import $modules; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
            python=$candidate
            break 2
        fi
    done
done
if [ -z "$python" ]; then
    echo "airfield: there is no Python 3.11 or newer ($*); install one, or name it in AIRFIELD_PYTHON" >&2
    exit 1
fi
if [ ! -x "$uv" ]; then
    echo "installing uv $version" >&2
    rm -rf "$home"
    if ! "$python" -m venv "$home" 2>/dev/null; then
        # Debian keeps venv in a package of its own.
        rm -rf "$home"
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            echo "airfield: $python cannot make a virtual environment; as root, install its venv module (Debian: \`apt-get install python3-venv\`), then try again" >&2
            exit 1
        fi
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
        "$python" -m venv "$home"
    fi
    "$home/bin/pip" install --quiet --disable-pip-version-check "uv==$version"
fi
if ! "$uv" sync --frozen --quiet --python "$python" 2>.venv.log; then
    cat .venv.log >&2
    exit 1
fi
rm -f .venv.log
