import posixpath
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packer.errors import SourceError
from packer.sources.keys import normalise_key

ROOTS = ("/data/set", "/mnt/real")
PIECES = st.sampled_from(
    ["", ".", "..", "/", "//", "data", "set", "/data/set", "/mnt/real", "a", "b.jpg", "é", "file://", "%2e%2e", "%2F"]
)


@given(pieces=st.lists(PIECES, max_size=8), joint=st.sampled_from(["", "/"]))
def test_a_key_never_leaves_the_root(pieces, joint):
    try:
        key = normalise_key(joint.join(pieces), ROOTS)
    except SourceError:
        return
    assert key
    assert not key.startswith("/")
    assert all(part not in ("", ".", "..") for part in key.split("/"))
    assert posixpath.normpath(posixpath.join(ROOTS[0], key)).startswith(ROOTS[0] + "/")
    assert normalise_key(key, ROOTS) == key or "://" in key


@given(parts=st.lists(st.text(string.ascii_letters + " é%\\", min_size=1), min_size=1, max_size=5))
def test_clean_relative_paths_are_keys_as_they_stand(parts):
    key = "/".join(parts)
    assert normalise_key(key, ROOTS) == key
    assert normalise_key(f"/data/set/./{key}", ROOTS) == key
    assert normalise_key(f"//mnt/real/x/../{key}", ROOTS) == key


@pytest.mark.parametrize(
    "path", ["", ".", "/data/set", "/data/set/", "..", "a/../..", "/data/sets/a", "a\0b", "gs://b/a"]
)
def test_paths_that_are_no_keys(path):
    with pytest.raises(SourceError):
        normalise_key(path, ROOTS)


def test_root_of_the_file_system():
    assert normalise_key("/a/b.jpg", ("/",)) == "a/b.jpg"
