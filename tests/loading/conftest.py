from __future__ import annotations

import ctypes

import pytest

from packer.loading.jpeg_region import load_library


@pytest.fixture(scope="session")
def region_library() -> ctypes.CDLL:
    """The compiled part that decodes regions of JPEGs."""
    library = load_library()
    if library is None:
        pytest.skip("the compiled part was not made: run `make crop-decoder`")
    return library
