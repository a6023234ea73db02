#!/usr/bin/env bash
# The sdist and its wheel as users get them: built, installed into an environment of their own, used from another folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/elsewhere"

echo "livemef: building sdist and wheel"
python3 -m venv "$folder/build"
"$folder/build/bin/python" -m pip install --quiet --disable-pip-version-check build
"$folder/build/bin/python" -m build --outdir "$folder/dist" . >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }

echo "livemef: installing the wheel into an environment of its own"
python3 -m venv "$folder/clean"
"$folder/clean/bin/python" -m pip install --quiet --disable-pip-version-check "$(ls "$folder"/dist/*.whl)[web,v4l2]"

cd "$folder/elsewhere"
env -u PYTHONPATH PATH="$folder/clean/bin:$PATH" HOME="$folder" \
  "$folder/clean/bin/python" "$root/tests/environments/installed.py" "$root" "$folder"/dist/*.whl
