#!/usr/bin/env bash
# Unpack an archive of build_archive.py to a new path and pack images with what is in it:
#   check_archive.sh PYTHON ARCHIVE IMAGES      PYTHON: of the archive's version, where nodes' path has none here
set -euo pipefail
python=$(realpath "$1") archive=$(realpath "$2") images=$(realpath "$3")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/environment"
tar -xzf "$archive" -C "$folder/environment"
cd "$folder"
if [[ ! -x environment/bin/python ]]; then
  link=environment/bin/$(readlink environment/bin/python)
  echo "this machine has no $(readlink "$link"): taking $python in its place"
  ln -sf "$python" "$link"
  sed -i "s|^home = .*|home = $(dirname "$python")|" environment/pyvenv.cfg
fi
found=$(env -u PYTHONPATH ./environment/bin/python -c 'import packer, pyarrow, pandas; print(packer.__file__, pyarrow.__file__)')
case $found in
  "$folder/environment/lib/"*" $folder/environment/lib/"*) ;;
  *) echo "expected libraries below $folder/environment, found $found" >&2; exit 1 ;;
esac
program=$(dirname "${found%% *}")/programs/emr_pack.py
[[ -e $program ]] || { echo "expected the program of spark-submit in the archive" >&2; exit 1; }
./environment/bin/python -m packer pack "$images" out --gpus 2 --allow-fill --limit 40
./environment/bin/python -m packer verify out
