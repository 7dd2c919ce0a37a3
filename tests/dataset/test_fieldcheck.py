"""What verification finds in the fields of a record that are not its table's."""

import io
import re
from dataclasses import replace

import pyarrow as pa
import pytest
from PIL import Image

from packer.dataset.fieldcheck import FieldCheck
from packer.formats.container import Picture, Sample
from packer.formats.registry import get_format
from packer.specs import FieldKind, FieldSpec, FormatName

FIELDS = (FieldSpec(name="object", kind=FieldKind.BOXES), FieldSpec(name="mask", kind=FieldKind.MASK))
TABLE = pa.table({"object": [[1.0, 2.0, 5.0, 6.0]], "object_class": [[3]], "mask": ["m.png"]})


def png(width=8, height=10):
    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, "PNG")
    return out.getvalue()


SAMPLE = Sample(
    key="a.png",
    encoded=png(),
    image_format="png",
    width=8,
    height=10,
    extras={"object": (1.0, 2.0, 5.0, 6.0), "object_class": 3},
    pictures={"mask": Picture(png(), "png")},
)


def fault(sample, container=FormatName.TFRECORD, *, decode=True):
    return FieldCheck(FIELDS, get_format(container), TABLE).fault(sample, 0, decode=decode)


def test_what_the_table_has_is_right():
    assert fault(SAMPLE) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"extras": {"object": (1.0, 2.0, 5.0, 6.5), "object_class": 3}}, "in its field object, found"),
        ({"extras": {"object": (1.0, 2.0, 5.0, 6.0)}}, r"expected \[3\] in its field object_class, found \[\]"),
        ({"pictures": {}}, "expected the pictures"),
        ({"pictures": {"mask": Picture(png(8, 9), "png")}}, "its mask mask is 8x9, its picture 8x10"),
        ({"pictures": {"mask": Picture(png()[:40], "png")}}, "its mask mask does not decode"),
    ],
)
def test_what_differs_is_told(changes, problem):
    found = fault(replace(SAMPLE, **changes))
    assert found is not None
    assert re.search(problem, found)


def test_pictures_are_looked_into_only_where_that_is_asked_for():
    assert fault(replace(SAMPLE, pictures={"mask": Picture(b"", "png")}), decode=False) is None


def test_the_label_of_recordio_is_made_of_the_boxes():
    sample = Sample(key="", encoded=png(), image_format="png", label=(2.0, 5.0, 3.0, 0.125, 0.2, 0.625, 0.6))
    rounded = replace(sample, label=tuple(map(float, pa.array(sample.label, pa.float32()).to_pylist())))
    assert fault(rounded, FormatName.RECORDIO) is None
    assert "of its boxes" in fault(replace(rounded, label=(*rounded.label[:-1], 0.5)), FormatName.RECORDIO)
