#!/usr/bin/env bash
# Build Horovod for the TensorFlow and MXNet of one environment:  install_horovod.sh PYTHON
# Needs g++; uses MPI where mpicxx and mpirun are, otherwise Gloo alone. Where it cannot be built this says why and
# succeeds: the tests that need Horovod then skip. The first build takes minutes; pip keeps the wheel in its cache.
set -euo pipefail

python=$1
requirement=horovod==0.28.1

skip() {
  echo "Horovod is left out: $1. The tests that train with it will be skipped." >&2
  exit 0
}

# The wheel in pip's cache may have been built for other libraries or without MPI, which pip cannot tell.
is_usable() {
  # Two processes: TensorFlow crashes when it is loaded after horovod.mxnet.
  "$python" -c 'import horovod.mxnet' &>/dev/null || return 1
  "$python" - &>/dev/null <<'PY'
import os
import sys
import horovod.tensorflow as hvd
sys.exit(not (hvd.gloo_built() and (hvd.mpi_built() or "HOROVOD_WITHOUT_MPI" in os.environ)))
PY
}

command -v g++ >/dev/null || skip "no C++ compiler (g++) was found"
export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITH_MXNET=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITH_GLOO=1
if command -v mpicxx >/dev/null && command -v mpirun >/dev/null; then
  export HOROVOD_WITH_MPI=1
else
  export HOROVOD_WITHOUT_MPI=1
fi
is_usable && exit 0

PATH=$(cd "$(dirname "$python")" && pwd):$PATH
# Horovod asks for policies that CMake 4 has removed.
command -v cmake >/dev/null || "$python" -m pip install --quiet 'cmake<4'

install() { "$python" -m pip install --quiet --no-build-isolation --no-deps "$@" "$requirement"; }
if install && is_usable; then
  exit 0
fi
install --force-reinstall --no-cache-dir || skip "its build failed, as shown above"
is_usable || skip "it was built but does not load"
