import json
from pathlib import Path

import pytest

from packer.cli.main import run
from packer.planning.class_findings import ClassUse, missing_classes, unused_ids
from tests.tools.datasets import write_images


def use_of(counts: dict[str, dict[int, int]], num_classes: int, names: tuple[str, ...] = ()) -> ClassUse:
    return ClassUse(counts=counts, num_classes=num_classes, names=names)


def test_a_class_that_only_one_split_has_is_named() -> None:
    use = use_of({"train": {0: 4, 1: 1, 2: 3}, "val": {0: 1, 1: 0}}, 3, ("ant", "bee", "crow"))
    assert [found.text for found in missing_classes(use, "val")] == ["Split val has nothing of 2 classes: bee, crow."]
    assert list(missing_classes(use, "train")) == []


def test_many_classes_are_named_in_part() -> None:
    use = use_of({"train": {label: 1 for label in range(9)}, "val": {}}, 9)
    (found,) = missing_classes(use, "val")
    assert found.text == "Split val has nothing of 9 classes: 0, 1, 2, 3, 4 and 4 more."


def test_two_million_classes_of_three_ids() -> None:
    (found,) = unused_ids(use_of({"train": {0: 5, 7: 5, 1_999_999: 5}}, 2_000_000))
    assert found.text == "Class ids go up to 1,999,999, but only 3 of them are used."
    assert list(unused_ids(use_of({"train": {0: 5}, "val": {1: 1}}, 2))) == []


def test_a_plan_says_it_before_anything_is_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path / "source", 30)
    rows = [f"{path.relative_to(tmp_path)},{2 * int(path.parent.name[1])}" for path in tmp_path.glob("source/*/*")]
    rare = tmp_path / "source/c0/0000.jpg"
    rows = [row if rare.name not in row else f"{rare.relative_to(tmp_path)},1999999" for row in rows]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    assert run(["plan", str(tmp_path / "list.csv"), "--split", "train=0.8,val=0.2", "--allow-fill", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["num_classes"] == 2_000_000
    assert "has nothing of 1 class: 1999999." in shown.err
    assert "Class ids go up to 1,999,999, but only 4 of them are used." in shown.err
