#!/usr/bin/env bash
# Make an environment with SageMaker's PipeModeDataset:  install_pipemode.sh FOLDER
# It needs Python 3.10 on 64-bit Linux: the one that PYTHON310 names, or one on PATH or of pyenv. Where there is none this
# says so and succeeds: the tests that read with it then skip.
set -euo pipefail

folder=$1

skip() {
  echo "PipeModeDataset is left out: $1. The tests that read with it will be skipped." >&2
  exit 0
}

[[ $(uname -sm) == "Linux x86_64" ]] || skip "its last release is for Linux on x86-64 alone"

python=$("$(dirname "$0")/find_python.sh" 3.10 "${PYTHON310:-}") \
  || skip "no Python 3.10 with venv was found (PYTHON310=/path/to/python3.10 names one)"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet --requirement "$(dirname "$0")/pipemode.txt"
touch "$folder/.installed"
