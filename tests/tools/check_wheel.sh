#!/usr/bin/env bash
# Install a wheel into an environment that has nothing else of this project, and decode a part of a JPEG with it:
#   check_wheel.sh PYTHON FOLDER      the folder's wheel for this machine
set -euo pipefail
python=$1
wheel=$(echo "$2"/shardpack-*_"$(uname -m)".whl)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip --disable-pip-version-check --quiet install "$wheel"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
from PIL import Image

from packer.loading.crop_decoder import CropWindow
from packer.loading.jpeg_region import JpegRegions, load_library

library = load_library()
assert library is not None, "the wheel has no compiled part for this machine"
file = io.BytesIO()
Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
window = CropWindow(101, 7, 50, 60)
region = JpegRegions(library).decode(file.getvalue(), window, shrink_by=1)
top, left = window.top - region.top, window.left - region.left
found = region.pixels[top : top + window.height, left : left + window.width]
expected = np.asarray(Image.open(file))[101:151, 7:67]
assert np.array_equal(found, expected), "a part differs from the same part of the whole"
print("decodes parts of JPEGs with", JpegRegions(library).library_name)
PYTHON
"$folder/venv/bin/shardpack" --help >/dev/null
