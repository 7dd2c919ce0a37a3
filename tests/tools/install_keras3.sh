#!/usr/bin/env bash
# Make an environment with Keras 3, TensorFlow and Horovod:  install_keras3.sh FOLDER
# On the Python 3.12 that PYTHON312 names, or one on PATH or of pyenv. Where there is none this says so and succeeds: what
# trains with Keras 3 is then not tested.
set -euo pipefail

folder=$1
tools=$(dirname "$0")

python=$("$tools/find_python.sh" 3.12 "${PYTHON312:-}") || {
  echo "Keras 3 is left out: no Python 3.12 with venv was found (PYTHON312=/path/to/python3.12 names one)." >&2
  exit 0
}
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --disable-pip-version-check --quiet --requirement "$tools/keras3.txt" --editable '.[dev]'
"$tools/../../docker/install_horovod.sh" tensorflow "$folder/bin/python" \
  || echo 'Horovod is left out, as said above; the tests that train Keras 3 with it will be skipped.' >&2
touch "$folder/.installed"
