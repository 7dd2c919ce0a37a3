"""Listings that are nearly right: paths above their own folder, and messages that say what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from packer.errors import SourceError
from packer.sources.items import SourceSpec
from packer.sources.open_source import list_source


def put(folder: Path, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def listed(path: Path, **fields):
    return list_source(SourceSpec(source=str(path), **fields))


def test_a_path_above_the_listings_folder_counts_below_the_root(tmp_path):
    put(tmp_path, "images/cat/1.jpg", "lists/2.jpg", "3.jpg")
    listing = tmp_path / "lists/all.csv"
    listing.write_text("path,label\n../images/cat/1.jpg,0\nlists/2.jpg,1\n../3.jpg,1\n")

    assert listed(listing, root=str(tmp_path)).items["key"].to_pylist() == ["3.jpg", "images/cat/1.jpg", "lists/2.jpg"]


@pytest.mark.parametrize("path", ["../../1.jpg", "../../../1.jpg", "..", "../other/../../1.jpg"])
def test_a_path_above_the_root_is_refused(tmp_path, path):
    put(tmp_path, "1.jpg", "set/images/1.jpg")
    (tmp_path / "set/lists").mkdir()
    listing = tmp_path / "set/lists/all.csv"
    listing.write_text(f"path\n{path}\n")
    with pytest.raises(SourceError, match="leads out of it"):
        listed(listing, root=str(tmp_path / "set"))


def test_without_a_root_the_listings_folder_is_the_root(tmp_path):
    put(tmp_path, "1.jpg")
    (tmp_path / "lists").mkdir()
    listing = tmp_path / "lists/all.csv"
    listing.write_text("path\n../1.jpg\n")
    with pytest.raises(SourceError, match="leads out of it: paths start from .*; mend the path, or give the folder"):
        listed(listing)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("path;label\na.jpg;0\n", "its values stand between semicolons; write commas between them, as in 'path,label'"),
        ("path|label\na.jpg|0\n", "its values stand between bars; write commas between them, as in 'path,label'"),
        ("path\tlabel\na.jpg\t0\n", "its values stand between tabs; write commas between them, as in 'path,label'"),
        (
            "a.jpg,0\nb.jpg,1\n",
            "its first line is a row, not the columns' names; write a line such as 'path,label' above",
        ),
        ("0,a.jpg,7\n1,b.jpg,8\n", "write a line such as 'column0,path,column2' above it"),
        ("name,label\na.jpg,0\n", "name the path's column with `key_column`"),
    ],
)
def test_what_to_write(tmp_path, content, advice):
    put(tmp_path, "a.jpg", "b.jpg")
    listing = tmp_path / "all.csv"
    listing.write_text(content)
    with pytest.raises(SourceError) as caught:
        listed(listing)
    assert advice in str(caught.value)
