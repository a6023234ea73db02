#!/usr/bin/env bash
# Prints the first Python of these versions that is here and works: find_python.sh 3.10 3.11
set -euo pipefail
for version in "$@"; do
  for python in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python "${PYTHON:-}"; do
    if found=$("$python" -c 'import sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) && [ "$found" = "$version" ]; then
      command -v "$python"
      exit
    fi
  done
done
echo "find_python.sh: none of Python $* is here (looked on PATH, below ~/.pyenv and at \$PYTHON)" >&2
exit 2
