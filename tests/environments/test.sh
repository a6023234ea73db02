#!/usr/bin/env bash
# The quick tests in an environment of their own, below .venvs/: test.sh lowest|newest PYTHON-VERSION... [-- PYTEST-ARGUMENT...]
# lowest: exactly the lowest version of each dependency that pyproject.toml allows, also of what builds the package;
# newest: whatever is newest. The first of the Python versions that is here is taken.
set -euo pipefail
cd "$(dirname "$0")/../.."
which=$1
shift
versions=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do versions+=("$1"); shift; done
[ $# -gt 0 ] && shift
python=$(tests/environments/find_python.sh "${versions[@]}")
name=$which-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
environment=$PWD/.venvs/$name
uv=.venvs/uv/bin/uv
[ -x "$uv" ] || { python3 -m venv .venvs/uv && .venvs/uv/bin/python -m pip install --quiet uv; }

options=(--quiet --no-config --python "$environment/bin/python" --reinstall-package livemef --refresh-package livemef)
case $which in
  lowest)
    sed -n '/^\[build-system\]/,/^\[project\]/s/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | sed 's/>=/==/' >.venvs/build-floors
    options+=(--resolution lowest-direct --build-constraints .venvs/build-floors) ;;
  newest) options+=(--resolution highest --upgrade) ;;
  *) echo "test.sh: lowest or newest, not '$which'" >&2; exit 2 ;;
esac
echo "livemef: installing the $which dependencies for $("$python" --version) into .venvs/$name"
"$uv" venv --seed --quiet --no-config --allow-existing --python "$python" "$environment"
"$uv" pip install "${options[@]}" -e '.[web,v4l2,video,foxglove,test]'
"$uv" pip list --no-config --python "$environment/bin/python" 2>/dev/null |
  grep -iE '^(aiohttp|click|hypothesis|linuxpy|numpy|onnxruntime|opencv|pillow|psutil|pydantic|pyzmq|rich|simplejpeg|tifffile|tomlkit|typer) ?' || true
exec "$environment/bin/python" -m pytest -m 'not slow and not full and not gpu and not vm' -p no:cacheprovider "$@"
