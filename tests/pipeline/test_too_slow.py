"""An item that takes too long is one reject among others, in measuring, packing and the manifest."""

from __future__ import annotations

import json

import pytest

from tests.imaging.slow_files import many_scans
from tests.tools.datasets import read_manifest, run_command, write_images

LIMIT_S = 1


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Sixty good images and one that takes some seconds, though its header is within all limits."""
    folder = write_images(tmp_path_factory.mktemp("source") / "images", 60)
    name = next(folder.glob("*/*")).parent / "slow.jpg"
    name.write_bytes(many_scans(490, side_px=4000))
    return folder


def pack(source, dest, *options):
    return run_command("pack", source, dest, "--gpus", 2, "--resize", 24, "--workers", 1, *options)


@pytest.mark.slow
def test_it_is_a_reject(source, tmp_path):
    done = pack(source, tmp_path / "out", "--item-timeout", LIMIT_S, "--max-rejects", 0.05)

    assert done.returncode == 0, done.stderr
    assert read_manifest(tmp_path / "out").rejects == {"too_slow": 1}
    (reject,) = map(json.loads, (tmp_path / "out/meta/rejects.jsonl").read_text().splitlines())
    assert reject["key"].endswith("/slow.jpg")
    assert reject["detail"] == "expected at most 1 s of decoding, got more"
    assert run_command("verify", tmp_path / "out", "--decode").returncode == 0


@pytest.mark.slow
def test_it_fails_a_run_that_wants_no_rejects(source, tmp_path):
    done = pack(source, tmp_path / "out", "--item-timeout", LIMIT_S, "--on-reject", "fail")

    assert done.returncode == 1
    assert "too_slow: expected at most 1 s of decoding, got more" in done.stderr
    assert "slow.jpg" in done.stderr
    assert not (tmp_path / "out/manifest.json").exists()
