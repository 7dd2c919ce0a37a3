"""Versions by the names of folders, against what the files in them say."""

import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from packer.distributions import installed_version

ROOT = Path(__file__).parent.parent


def test_every_distribution_of_this_environment() -> None:
    found = {each.name: each.version for each in reversed([*distributions()]) if each.name}
    assert len(found) > 20
    assert {name: installed_version(name) for name in found} == found


def test_what_is_not_installed_has_none() -> None:
    assert installed_version("pill") is None
    assert installed_version("pillow-simd") is None


@pytest.mark.parametrize("folder", ["Pillow_Simd-9.5.0.post1.dist-info", "pillow.simd-9.5.0.post1-py3.11.egg-info"])
def test_names_are_spelt_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.setattr(sys, "path", ["/nowhere", str(ROOT / "README.md"), str(tmp_path)])
    assert installed_version("pillow-simd") == "9.5.0.post1"
