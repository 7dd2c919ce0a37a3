#!/usr/bin/env bash
# Commit a stand-in for python:VERSION-slim-bookworm to buildah's storage, as localhost/python:VERSION-slim-bookworm, where
# no registry of images can be reached: Debian by debootstrap, and an interpreter of this machine.
#
#     tests/tools/stand_in_image.sh 3.11 /path/to/python3.11 [MIRROR]
#
# Needs root, buildah and debootstrap.
set -euo pipefail
version=${1:?expected a version of Python, such as 3.11}
python=$(command -v "${2:?expected an interpreter}")
mirror=${3:-}
home=$("$python" -c 'import sys; print(sys.base_prefix)')
libraries=ca-certificates,netbase,tzdata,libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,zlib1g,libreadline8,libuuid1

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
debootstrap --variant=minbase --include="$libraries" bookworm "$root" ${mirror:+"$mirror"} >/dev/null
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$home" --exclude='lib/python*/site-packages/*' --exclude='lib/python*/test' --exclude='lib/python*/config-*' \
  --exclude='__pycache__' --exclude='*.a' -cf - "bin/python$version" lib include | tar -C "$root/usr/local" -xf -
ln -s "python$version" "$root/usr/local/bin/python3"
ln -s python3 "$root/usr/local/bin/python"
chroot "$root" /sbin/ldconfig
chroot "$root" /usr/local/bin/python -m ensurepip >/dev/null 2>&1
ln -sf pip3 "$root/usr/local/bin/pip"
buildah config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin --env LANG=C.UTF-8 \
  --cmd python3 "$container"
buildah commit --quiet "$container" "localhost/python:$version-slim-bookworm"
