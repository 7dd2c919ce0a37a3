#!/usr/bin/env bash
# Print the path of an interpreter that can make environments:  find_python.sh VERSION [PATH]
# It is PATH where that is given, else one on PATH or of pyenv. Where there is none this fails without a word.
set -euo pipefail

version=$1
for python in ${2:-"python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/"python$version"}; do
  # pyenv's python on PATH may be a name that stands for nothing.
  if "$python" -c "import ensurepip, sys, venv; sys.exit('.'.join(map(str, sys.version_info[:2])) != '$version')" 2>/dev/null; then
    command -v "$python"
    exit 0
  fi
done
exit 1
