"""How long the schedules here are: short ones in every run of the tests, long ones with SHARDPACK_ENDURANCE=1."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.datasets import digests, pack_small, write_images

GIVEN = {"gpus": 2, "split": "train=0.75,val=0.25"}


def rounds(short: int, long: int) -> range:
    """Return the numbers of a schedule's rounds, which are the seeds of their chance, too."""
    return range(long if os.environ.get("SHARDPACK_ENDURANCE") == "1" else short)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), 40)


@pytest.fixture(scope="session")
def expected(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The digests of an undisturbed run with some options."""
    known: dict[str, dict[str, str]] = {}

    def find(**options: object) -> dict[str, str]:
        name = repr(sorted(options.items()))
        if name not in known:
            dest = tmp_path_factory.mktemp("expected") / "out"
            pack_small(images, dest, **{**GIVEN, **options})
            known[name] = digests(dest)
        return known[name]

    return find
