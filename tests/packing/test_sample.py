"""What a machine with too little memory makes of an item: a failed run, never a reject."""

from __future__ import annotations

import subprocess
import sys

import pytest

from packer.imaging.rejects import RejectError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and reports its memory in another way")

PROGRAM = """
import resource
from packer.errors import PackerError
from packer.options import PackOptions
from packer.packing.sample import ItemRow, build_sample
from tests.imaging.images import png_file

data = png_file(9000, 9000, [b""], bits=8)
row = ItemRow(key="cats/1.png", num_bytes=len(data), label=0, class_text="", member=None, extras={})
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
try:
    build_sample(row, data, PackOptions(source="a", dest="b").image_spec())
except PackerError as error:
    print(type(error).__name__, error)
"""


def test_memory_that_runs_out_fails_the_run():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("PackerError cats/1.png: memory ran out while it was decoded")
    assert RejectError.__name__ not in done.stdout
