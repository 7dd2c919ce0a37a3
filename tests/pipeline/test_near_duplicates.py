"""Near-duplicates: photographs with copies made smaller, compressed anew and cut, which must share a split."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from packer.cli.main import run
from packer.dataset.near_list import load_near
from packer.errors import MissingExtraError
from packer.stores.local_store import LocalStore
from tests.tools.datasets import pack_small, read_manifest, read_records, write_images

pytestmark = pytest.mark.slow
pytest.importorskip("imagehash")

NUM_COPIED = 12
OPTIONS = {"split": "train=0.5,val=0.5", "gpus": 2, "allow_fill": True, "near_duplicates": True, "resize": "64"}


def near_copies(image: Image.Image) -> list[Image.Image]:
    """Return it at half its size, and cut by 1 % on each side."""
    width, height = image.size
    cut = image.crop((width // 100, height // 100, width - width // 100, height - height // 100))
    return [image.resize((width // 2, height // 2)), image, cut]


@pytest.fixture(scope="module")
def photographs(sample_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photographs, some of them with near-copies in other folders."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("a", "b", "c", "d"):
        (folder / name).mkdir()
    for number, path in enumerate(sorted(sample_dir.rglob("*.[jJ]*"))[:60]):
        (folder / f"a/{number:03}.jpg").write_bytes(path.read_bytes())
        if number < NUM_COPIED:
            with Image.open(path) as opened:
                copies = near_copies(opened.convert("RGB"))
            for name, copy in zip("bcd", copies, strict=True):
                copy.save(folder / f"{name}/{number:03}.jpg", quality=60)
    return folder


@pytest.fixture(scope="module")
def packed(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dest = tmp_path_factory.mktemp("packed") / "set"
    pack_small(photographs, dest, **OPTIONS)
    return dest


def splits_of(dest: Path) -> dict[str, str]:
    return {
        row["key"]: name
        for name, split in read_manifest(dest).splits.items()
        for shard in split.shards
        for row in read_records(dest, shard.key)
    }


def test_copies_are_listed_with_their_distances_and_nothing_else_is(packed: Path) -> None:
    rows = pq.read_table(packed / "meta/near_duplicates.parquet").to_pylist()
    groups: dict[int, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["key"])
    names = [{key[2:] for key in keys} for keys in groups.values()]
    assert all(len(found) == 1 for found in names), "no two photographs are one group"
    for number in range(NUM_COPIED):
        group = next(keys for keys in groups.values() if f"a/{number:03}.jpg" in keys)
        assert {"a", "b", "c"} <= {key[0] for key in group}
    assert sum(row["key"][0] == "d" for row in rows) >= NUM_COPIED - 2, "nearly all of those that were cut"
    assert {row["distance"] for row in rows} <= {0, 2, 4, 6, 8}
    assert rows == sorted(rows, key=lambda row: (row["group"], row["key"]))


def test_each_group_is_in_one_split(packed: Path) -> None:
    splits = splits_of(packed)
    rows = pq.read_table(packed / "meta/near_duplicates.parquet").to_pylist()
    assert all(row["split"] == splits[row["key"]] for row in rows)
    for group in {row["group"] for row in rows}:
        assert len({row["split"] for row in rows if row["group"] == group}) == 1
    assert {row["split"] for row in rows} == {"train", "val"}


def test_without_it_some_are_in_both_splits(photographs: Path, tmp_path: Path) -> None:
    pack_small(photographs, tmp_path / "set", **OPTIONS | {"near_duplicates": False})
    splits = splits_of(tmp_path / "set")
    pairs = [(splits[f"a/{n:03}.jpg"], splits[f"b/{n:03}.jpg"]) for n in range(NUM_COPIED)]
    assert any(one != other for one, other in pairs)
    assert not (tmp_path / "set/meta/near_duplicates.parquet").exists()


def test_the_list_is_verified_and_copied(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    assert run(["reshard", str(packed), str(copy), "--gpus", "1", "--workers", "1", "--allow-fill"]) == 0
    assert load_near(LocalStore(copy)) == load_near(LocalStore(packed))
    assert run(["inspect", str(copy)]) == 0
    assert "groups of near-duplicates" in capsys.readouterr().out
    (copy / "meta/near_duplicates.parquet").write_bytes((copy / "meta/labels.json").read_bytes())
    assert run(["verify", str(copy), "--workers", "1"]) == 1
    assert "near_duplicates.parquet" in capsys.readouterr().out
    (copy / "meta/near_duplicates.parquet").unlink()
    assert run(["verify", str(copy), "--workers", "1"]) == 1
    assert "meta/near_duplicates.parquet: is missing" in capsys.readouterr().out


def test_groups_of_a_column_stay_whole_too(photographs: Path, tmp_path: Path) -> None:
    """Patient 0 has two photographs, each of which has a near-copy of another patient."""
    names = [path.relative_to(photographs) for path in sorted(photographs.glob("*/*.jpg"))]
    rows = [f"{name},{int(name.stem) // 2 if name.parent.name == 'a' else 1000 + i}" for i, name in enumerate(names)]
    (tmp_path / "list.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
    options = OPTIONS | {"group_column": "patient", "root": str(photographs)}
    pack_small(tmp_path / "list.csv", tmp_path / "set", **options)
    splits = splits_of(tmp_path / "set")
    for number in range(0, NUM_COPIED, 2):
        keys = [f"{folder}/{n:03}.jpg" for folder in "abc" for n in (number, number + 1)]
        assert len({splits[key] for key in keys}) == 1


def test_pictures_that_show_nothing_are_no_group(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "source", 20)
    for number in range(6):
        Image.new("RGB", (40, 30), (number * 40,) * 3).save(folder / f"c0/flat{number}.png")
    (folder / "c0/broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    pack_small(folder, tmp_path / "set", gpus=1, near_duplicates=True, max_rejects=0.5)
    assert pq.read_table(tmp_path / "set/meta/near_duplicates.parquet").num_rows == 0


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "source", 4)
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(MissingExtraError, match=r"`near_duplicates` needs imagehash.* pip install '\.\[near\]'"):
        pack_small(folder, tmp_path / "set", gpus=1, near_duplicates=True)
    assert not (tmp_path / "set").exists()


def test_a_picture_has_one_hash_however_it_lies_in_its_file(sample_dir: Path) -> None:
    from packer.imaging.perceptual import perceptual_hash

    with Image.open(next(iter(sorted(sample_dir.rglob("*.[jJ]*"))))) as opened:
        image = opened.convert("RGB")
    upright, turned = io.BytesIO(), io.BytesIO()
    image.save(upright, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=exif)
    one = perceptual_hash(upright.getvalue(), max_pixels=10**8)
    assert one == perceptual_hash(turned.getvalue(), max_pixels=10**8)
    assert one is not None
    assert perceptual_hash(upright.getvalue(), max_pixels=100) is None
