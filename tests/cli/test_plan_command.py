"""`shardpack plan`, and with --compare several settings side by side."""

import json
import re
from pathlib import Path

import pytest

from packer.cli.compare_option import spread_settings
from tests.cli.commands import shardpack
from tests.stores.conftest import Bucket

SETTINGS = ("--compare", "size=24,32", "quality=60,95")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("in --compare a=1,2 b=3 c=4", "in --compare a=1,2 --compare b=3 --compare c=4"),
        ("--compare a=1 in b=3", "--compare a=1 in b=3"),
        ("--compare a=1 --json b=3", "--compare a=1 --json b=3"),
        ("--compare a=1 --compare b=2 out", "--compare a=1 --compare b=2 out"),
        ("--compare", "--compare"),
        ("--compare in b=1", "--compare in --compare b=1"),
    ],
)
def test_settings_behind_the_option(given: str, expected: str) -> None:
    assert spread_settings(given.split()) == expected.split()


@pytest.mark.slow
def test_rows_are_the_plans_of_their_settings(images: Path, capfd: pytest.CaptureFixture[str]) -> None:
    common = ("plan", images, "--gpus", 2, "--workers", 1, "--json")
    code, out, errors = shardpack(capfd, *common, *SETTINGS, "--on", "10dpu")
    assert code == 0, errors
    found = json.loads(out)
    rows = found["settings"]
    assert [row["setting"] for row in rows] == [
        {"size": size, "quality": quality} for size in ("24", "32") for quality in ("60", "95")
    ]
    own = json.loads(shardpack(capfd, *common, "--resize", 32, "--quality", 60)[1])
    assert rows[2]["plan_id"] == own["plan_id"]
    assert rows[2]["mean_record_bytes"] == own["mean_record_bytes"]
    assert rows[2]["num_shards"] == sum(split["num_shards"] for split in own["splits"])
    assert rows[0]["num_bytes"] < rows[1]["num_bytes"]
    assert rows[0]["psnr_db"] < rows[1]["psnr_db"]
    for row in rows:
        assert row["images_per_s"] > 0
        assert row["pack_s"] == pytest.approx(row["num_items"] / row["images_per_s"])
        assert row["pack_s_on"] == pytest.approx(row["pack_s"] / 40)
        assert row["traffic"] is None
    assert found["machine"] == {"name": "10 DPU", "num_vcpus": 40}
    assert rows[found["recommended"]]["setting"]["size"] == "32"  # the longest short side


@pytest.mark.slow
def test_the_table(images: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = ("--compare", "size=24", "encode=jpeg,png", "quality=50", "--on", "c7i.4xlarge")
    code, out, errors = shardpack(capfd, "plan", images, "--gpus", 2, "--workers", 1, *settings)
    assert code == 0, errors
    heading, jpeg, png, *lines = out.splitlines()
    assert re.sub(r"  +", "|", heading.strip()) == (
        "size|encode|quality|about in all|a record|shards|images/s|packed in|on c7i.4xlarge|PSNR"
    )
    assert png.endswith("lossless")
    assert re.search(r"\d\d\.\d dB$", jpeg)
    assert sum(row.startswith("*") for row in (jpeg, png)) == 1
    assert lines[0].startswith("* size 24, encode ")
    assert "the fewest bytes of those with the longest short side, 24 px" in lines[0]
    assert lines[1] == (
        "measured on 32 images with 1 worker of this machine, by the CPU time of reading, resizing and encoding "
        "without start-up; nothing was written"
    )
    assert lines[2] == "on c7i.4xlarge: 16 vCPUs, each as fast as one worker here"
    assert lines[3].startswith("PSNR: encoded against resized pixels, the median of 32 images")
    assert "$" not in out


@pytest.mark.slow
def test_a_setting_that_cannot_be_packed(images: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, errors = shardpack(capfd, "plan", images, "--workers", 1, "--resize", 24, "--compare", "gpus=4,7")
    assert code == 0, errors
    assert "not gpus 7: split 'train': 60 items in 7 equal shards would repeat 3 samples" in out
    assert "or accept it with --allow-fill" in out
    assert "* gpus 4: the fewest bytes" in out
    code, _, errors = shardpack(capfd, "plan", images, "--workers", 1, "--resize", 24, "--compare", "gpus=7")
    assert code == 2
    assert errors.splitlines()[-1].startswith("shardpack: none of the settings can be packed; gpus 7: split 'train'")


@pytest.mark.slow
def test_prices_where_a_bucket_is_involved(images: Path, bucket: Bucket, capfd: pytest.CaptureFixture[str]) -> None:
    place = (f"{bucket.uri}/shards", "--endpoint-url", bucket.endpoint)
    common = ("plan", images, *place, "--gpus", 2, "--workers", 1, "--resize", 24)
    code, out, errors = shardpack(capfd, *common, "--compare", "quality=60,95")
    assert code == 0, errors
    heading, first, *_ = [re.sub(r"  +", "|", line.strip()) for line in out.splitlines()]
    assert heading.endswith("packed in|requests|for them|a month|PSNR")
    assert "|13|$0.00|$0.00|" in first
    assert "prices: requests once, storage a month, S3 Standard in us-east-1, list prices of 20" in out
    code, out, errors = shardpack(capfd, *common)
    assert code == 0, errors
    assert "on S3: 0 GET, 13 PUT, 0 LIST, 0 B read, " in out


@pytest.mark.slow
def test_no_prices_from_disk_to_disk(images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    common = ("plan", images, tmp_path / "shards", "--workers", 1, "--resize", 24)
    code, out, _ = shardpack(capfd, *common)
    assert code == 0
    assert "S3" not in out
    assert json.loads(shardpack(capfd, *common, "--json")[1])["bucket"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--on", "c7i.large"), "shardpack: --on: expected with --compare, such as size=224,256"),
        (
            ("--compare", "size=24", "--on", "fast"),
            "shardpack: --on: expected an instance type of EC2 or SageMaker, such",
        ),
        (("--compare", "sizes=24"), "shardpack: --compare: sizes: cannot be compared; did you mean size?"),
        (("--compare", "quality=85,101"), "shardpack: --quality: expected a whole number from 1 to 100, got '101'"),
    ],
)
def test_errors(images: Path, arguments: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, errors = shardpack(capfd, "plan", images, *arguments)
    assert code == 2
    assert errors.startswith(message)
