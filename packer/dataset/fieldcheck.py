"""Are the fields of a record those that its table has? Of a record of RecordIO: are its boxes?"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from packer.formats.container import Container, Sample
from packer.formats.field_features import detection_label, first_boxes
from packer.imaging.check import check_decodes, read_size
from packer.imaging.rejects import RejectError
from packer.specs import FieldKind, FieldSpec


class FieldCheck:
    """Holds the declared fields of a shard's records against its table of records."""

    def __init__(self, fields: Sequence[FieldSpec], container: Container, table: pa.Table) -> None:
        self._fields = tuple(fields)
        self._container = container
        names = [name for spec in fields if not spec.is_picture for name in spec.columns]
        self._columns: Mapping[str, Sequence[Any]] = {
            name: table.column(name).to_pylist() for name in names if name in table.column_names
        }

    @property
    def labels_are_boxes(self) -> bool:
        """The records have their boxes in the place of their labels."""
        return not self._container.holds_columns and any(spec.kind is FieldKind.BOXES for spec in self._fields)

    def fault(self, sample: Sample, index: int, *, decode: bool) -> str | None:
        """Return what is wrong with the fields of the record `index`; `decode` looks into its pictures, too."""
        if not self._fields:
            return None
        if not self._container.holds_columns:
            return self._label_fault(sample, index) if self.labels_are_boxes else None
        for name, values in self._columns.items():
            expected, found = _listed(values[index]), _listed(sample.extras.get(name))
            if expected != found:
                return f"expected {list(expected)} in its field {name}, found {list(found)}"
        wanted = {spec.name for spec in self._fields if spec.is_picture}
        if set(sample.pictures) != wanted:
            return f"expected the pictures {sorted(wanted)}, found {sorted(sample.pictures)}"
        return self._picture_fault(sample) if decode else None

    def _expected(self, index: int) -> Sample:
        extras = {name: _listed(values[index]) if values else () for name, values in self._columns.items()}
        return Sample(key="", encoded=b"", image_format="", extras=extras, fields=self._fields)

    def _label_fault(self, sample: Sample, index: int) -> str | None:
        wanted = self._expected(index)
        spec = first_boxes(wanted)
        assert spec is not None
        width, height, _ = read_size(sample.encoded)
        expected = detection_label(replace(wanted, width=width, height=height), spec)
        found = sample.label if isinstance(sample.label, tuple) else ()
        if struct.pack(f"<{len(expected)}f", *expected) == struct.pack(f"<{len(found)}f", *found):
            return None
        return f"expected the label {list(expected)} of its boxes, found {list(found)}"

    def _size_of(self, sample: Sample) -> tuple[int, int]:
        return (sample.width, sample.height) if self._container.holds_size else read_size(sample.encoded)[:2]

    def _picture_fault(self, sample: Sample) -> str | None:
        for spec in self._fields:
            if spec.name not in sample.pictures:
                continue
            try:
                size = check_decodes(sample.pictures[spec.name].encoded)
            except RejectError as error:
                return f"its {spec.kind} {spec.name} does not decode: {error}"
            if spec.kind is FieldKind.MASK and size != (wanted := self._size_of(sample)):
                return f"its mask {spec.name} is {size[0]}x{size[1]}, its picture {wanted[0]}x{wanted[1]}"
        return None


def _listed(value: Any) -> tuple[Any, ...]:
    """Return the values of a column, which containers give as one where it is alone."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
