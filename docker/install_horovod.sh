#!/usr/bin/env bash
# Build Horovod for the framework that an environment has, install it there and try it on two ranks:
#
#     docker/install_horovod.sh torch|tensorflow|mxnet[,...] PYTHON [WHEELS]
#
# PYTHON is the environment's interpreter. Wheels are kept in WHEELS (~/.cache/shardpack/horovod), one folder for each
# release of the framework, Python and set of flags, so none is ever installed beside a framework that it was not compiled
# for, which pip's own cache does without a word. Needs g++ and make; MPI is built in where mpicxx and mpirun are, Gloo always.
# Horovod's own variables are taken as they are: HOROVOD_GPU_OPERATIONS=NCCL for GPUs.
set -euo pipefail

release=0.28.1
frameworks=${1:?expected a framework: torch, tensorflow, mxnet, or several by comma}
python=$(command -v "${2:-python3}") || { echo "error: expected an interpreter, got ${2:-python3}" >&2; exit 2; }
wheels=${3:-${XDG_CACHE_HOME:-$HOME/.cache}/shardpack/horovod}

fail() {
  echo "error: Horovod for $frameworks: $1" >&2
  exit 1
}

# Prints "name version" of each framework that the build is for.
versions() {
  "$python" - "$frameworks" <<'PY'
import importlib.metadata as metadata
import sys

KNOWN = {"torch": ["torch"], "tensorflow": ["tensorflow", "tensorflow-cpu"], "mxnet": ["mxnet"]}
for framework in sys.argv[1].split(","):
    if framework not in KNOWN:
        sys.exit(f"error: expected torch, tensorflow or mxnet, got {framework!r}")
    for package in KNOWN[framework]:
        try:
            print(framework, metadata.version(package))
            break
        except metadata.PackageNotFoundError:
            continue
    else:
        sys.exit(f"error: {framework} is not installed in the environment of {sys.executable}; install it first")
PY
}

found=$(versions) || exit 2
command -v g++ >/dev/null || fail "no C++ compiler (g++) was found"

for framework in PYTORCH TENSORFLOW MXNET; do
  name=$(tr '[:upper:]' '[:lower:]' <<<"${framework/PYTORCH/torch}")
  if [[ ,$frameworks, == *,$name,* ]]; then export "HOROVOD_WITH_$framework=1"; else export "HOROVOD_WITHOUT_$framework=1"; fi
done
export HOROVOD_WITH_GLOO=1
if command -v mpicxx >/dev/null && command -v mpirun >/dev/null; then
  export HOROVOD_WITH_MPI=1
  mpi=mpi
else
  export HOROVOD_WITHOUT_MPI=1
  mpi=nompi
fi

# Otherwise a make that calls this hands its own number of jobs on, and Horovod takes eight where there is none.
export MAKEFLAGS=-j$(nproc)

python_tag=$("$python" -c 'import sys; print(f"cp{sys.version_info[0]}{sys.version_info[1]}")')
tag="horovod-$release-$(tr -s ' \n' '-' <<<"$found")$python_tag-$mpi${HOROVOD_GPU_OPERATIONS:+-$HOROVOD_GPU_OPERATIONS}"
folder=$wheels/$tag
shims=$(mktemp -d)
trap 'rm -rf "$shims"' EXIT

# What 0.28.1, the last release, lacks for the frameworks that came after it.
write_shims() {
  # PyTorch's headers are C++17 from 2.1 on; Horovod has CMake ask for 14.
  if [[ ,$frameworks, == *,torch,* ]]; then
    printf '#!/usr/bin/env bash\nexec g++ "${@/#-std=*++14/-std=gnu++17}"\n' >"$shims/c++17"
    chmod +x "$shims/c++17"
    export CXX=$shims/c++17
  fi
  # TensorFlow has moved a header.
  if [[ ,$frameworks, == *,tensorflow,* ]]; then
    include=$("$python" -c 'import tensorflow as tf; print(tf.sysconfig.get_include())' 2>/dev/null | tail -n 1)
    if [[ ! -e $include/tensorflow/compiler/xla/client/xla_builder.h && -e $include/xla/hlo/builder/xla_builder.h ]]; then
      mkdir -p "$shims/include/tensorflow/compiler/xla/client"
      echo '#include "xla/hlo/builder/xla_builder.h"' >"$shims/include/tensorflow/compiler/xla/client/xla_builder.h"
      export CPLUS_INCLUDE_PATH=$shims/include${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}
    fi
  fi
}

install() { "$python" -m pip install --disable-pip-version-check --quiet "$@"; }

if ! compgen -G "$folder/*.whl" >/dev/null; then
  # The build needs pkg_resources, and policies that CMake 4 has removed.
  install 'setuptools<81' wheel packaging 'cmake<4'
  write_shims
  PATH=$(cd "$(dirname "$python")" && pwd):$PATH "$python" -m pip wheel --disable-pip-version-check --quiet \
    --no-cache-dir --no-deps --no-build-isolation --wheel-dir "$shims/wheel" "horovod==$release" \
    || fail "its build failed, as shown above"
  mkdir -p "$folder"
  mv "$shims"/wheel/*.whl "$folder/"
fi
install cloudpickle packaging psutil pyyaml cffi
install --no-deps --force-reinstall "$folder"/*.whl

# Gloo crashes without a word where it finds no address for the host's own name.
getent hosts "$(uname -n)" >/dev/null || fail "the name of this host, $(uname -n), leads to no address: add it to /etc/hosts"

# Every rank sums what all of them give. One process for each framework: TensorFlow crashes after horovod.mxnet.
cat >"$shims/check.py" <<'PY'
import importlib
import sys

framework = sys.argv[1]
hvd = importlib.import_module(f"horovod.{framework}")
hvd.init()
library = importlib.import_module(framework)
one = {"torch": "ones", "tensorflow": "ones"}.get(framework)
value = getattr(library, one)([3]) if one else library.nd.ones((3,))
total = hvd.allreduce(value, op=hvd.Sum, name="check")
# PyTorch may be without NumPy here.
arrays = {"torch": lambda: total, "tensorflow": lambda: total.numpy(), "mxnet": lambda: total.asnumpy()}
values = arrays[framework]().tolist()
assert values == [2.0, 2.0, 2.0], f"expected the sum over two ranks, got {values}"
if hvd.rank() == 0:
    print(f"horovod.{framework}: two ranks sum up; MPI {bool(hvd.mpi_built())}, Gloo {bool(hvd.gloo_built())}")
PY
for framework in ${frameworks//,/ }; do
  TF_CPP_MIN_LOG_LEVEL=2 PATH=$(cd "$(dirname "$python")" && pwd):$PATH \
    "$python" -m horovod.runner.launch -np 2 --gloo -H localhost:2 "$python" "$shims/check.py" "$framework" \
    || fail "it was built but two ranks do not work"
done
