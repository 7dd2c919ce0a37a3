"""Fields packed on Spark, and from and to a bucket: the same bytes as on this machine."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from packer.pipeline import pack
from packer.specs import FormatName, StoreOptions
from packer.stores.open_store import open_store
from tests.tools.datasets import DIFFERS_BY_RUN, SerialEngine, digests, image_bytes, make_options, pack_small
from tests.tools.spark_sessions import spark_session

pytestmark = pytest.mark.slow
OPTIONS: dict[str, Any] = {
    "field": ["object=boxes:box+kind", "mask=mask:seg", "pose=points:joint", "caption=text:words"],
    "key_column": "path",
    "resize": "32x32",
    "gpus": 2,
    "split": "train=0.5,val=0.5",
    "allow_fill": True,
}


def make_files() -> dict[str, bytes]:
    """Return pictures, masks and a listing of them, by name."""
    files, rows = {}, []
    for number in range(12):
        files[f"{number:02}.jpg"] = image_bytes(number, width=64, height=48)
        mask = np.zeros((48, 64), np.uint8)
        mask[10 : 20 + number, 20:40] = number + 1
        files[f"masks/{number:02}.png"] = png(mask)
        row = {"box": [[number, 4, 40, 30], [0, 0, 30, 44]][: number % 3], "joint": [number, 20]}
        row |= {"kind": ["cat", "dog"][: number % 3], "words": f"picture {number}", "seg": f"masks/{number:02}.png"}
        rows.append({"path": f"{number:02}.jpg", "label": number % 3, **row})
    return files | {"list.jsonl": "\n".join(map(json.dumps, rows)).encode()}


def png(mask: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name, content in make_files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "list.jsonl"


@pytest.mark.spark
def test_on_spark(source: Path, tmp_path: Path) -> None:
    from packer.engines.spark_engine import SparkEngine

    with spark_session("local[2]"):
        for container in (FormatName.TFRECORD, FormatName.PARQUET):
            options = OPTIONS | {"format": container}
            pack(make_options(source, tmp_path / f"spark-{container}", **options), engine=SparkEngine())
            pack_small(source, tmp_path / f"local-{container}", **options)
            assert digests(tmp_path / f"spark-{container}") == digests(tmp_path / f"local-{container}")


@pytest.mark.parametrize("container", [FormatName.WEBDATASET, FormatName.PARQUET])
def test_from_and_to_a_bucket(
    container: FormatName, source: Path, s3_bucket: str, s3_endpoint: str, tmp_path: Path
) -> None:
    reach = StoreOptions(endpoint_url=s3_endpoint)
    place = open_store(f"s3://{s3_bucket}/source", reach)
    for name, content in make_files().items():
        place.put(name, [content])
    options = OPTIONS | {"format": container}
    dest = f"s3://{s3_bucket}/set"
    pack(make_options(f"{place.uri}/list.jsonl", dest, endpoint_url=s3_endpoint, **options), engine=SerialEngine())
    pack_small(source, tmp_path / "local", **options)
    store = open_store(dest, reach)
    kept = {info.key for info in store.list() if not info.key.startswith(("meta/plan", "meta/sagemaker/"))}
    found = {key: hashlib.sha256(store.get(key)).hexdigest() for key in kept - DIFFERS_BY_RUN}
    expected = {key: digest for key, digest in digests(tmp_path / "local").items() if not key.startswith("meta/plan")}
    assert found == {key: digest for key, digest in expected.items() if digest}
