"""Rules about the whole package that no single part can keep: what an import loads, what the wheel holds, sizes."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.tools.datasets import write_images

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "packer").rglob("*.py"))
HEAVY = {
    *("pyspark", "tensorflow", "mxnet", "horovod", "torch"),
    *("boto3", "botocore", "s3fs", "obstore", "PIL", "cykooz_resizer", "pyarrow"),
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 5
KEYWORD_CONSTRUCTORS = {"packer/loading/loader.py"}
"""Files whose public class is made by any number of named parameters. A loader's are what a user of one writes in a
script, next to those of other loaders; inside, they are a frozen spec at once."""

FLAT_FUNCTION = ("packer/python_api.py", "pack")
"""Has an option a line, as the command line has: it is what people call who do not want to build a value first."""


def loaded_by(statement: str) -> set[str]:
    """Return the top-level names in sys.modules of a fresh interpreter that has run `statement`."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_no_heavy_library() -> None:
    assert "packer" in loaded_by("import packer")
    assert loaded_by("import packer") & HEAVY == set()


def test_a_worker_loads_what_it_packs_with_and_nothing_for_other_places() -> None:
    """Each worker pays for it. Of the standard library, `email` is what asking for a version would load."""
    loaded = loaded_by(
        "import importlib, packer.engines.worker\n"
        "from packer.packing import TASK_MODULES\n"
        "for name in TASK_MODULES: importlib.import_module(name)\n"
        "from packer.options import PackOptions\n"
        "from packer.packing.encoder import EncoderSpec, report_encoder\n"
        "options = PackOptions(source='a', dest='b')\n"
        "asked = EncoderSpec(image=options.image_spec(), format=options.format)\n"
        "report_encoder(asked, 0, lambda items, size: None)"
    )
    assert {"PIL", "cykooz_resizer", "simplejpeg", "pyarrow"} <= loaded
    assert loaded & {*HEAVY - {"PIL", "cykooz_resizer", "pyarrow"}, "fsspec", "typer", "rich", "email"} == set()


def test_the_process_that_plans_leaves_images_to_its_workers(tmp_path: Path) -> None:
    """Both pay for what they import. Of the standard library, `email` is what asking for a version would load."""
    arguments = ["pack", str(write_images(tmp_path / "images", 3)), str(tmp_path / "out"), "--resize", "24"]
    loaded = loaded_by(
        "import contextlib, io\n"
        "from packer.cli.main import run\n"
        f"with contextlib.redirect_stdout(io.StringIO()): assert run({arguments!r}) == 0"
    )
    assert "pyarrow" in loaded
    unwanted = {*HEAVY - {"pyarrow"}, "simplejpeg", "fsspec", "rich", "pydantic", "yaml", "email", "asyncio"}
    assert loaded & unwanted == set()


@pytest.mark.slow
def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "packer", tree / "packer", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "."]
    command += ["--wheel-dir", str(tmp_path)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if ".dist-info/" not in name}
    files = {str(path.relative_to(tree)) for path in (tree / "packer").rglob("*") if path.is_file()}
    assert packed == {name.removeprefix("packer/outer/") for name in files}
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    run = [sys.executable, "-m", "shardpack", "-h"]
    shown = subprocess.run(run, cwd=tmp_path / "installed", text=True, capture_output=True, check=True).stdout
    assert shown.startswith("Usage: shardpack")
    entry_points = next(name for name in names if name.endswith("/entry_points.txt"))
    assert "shardpack = packer.cli.start:main" in zipfile.ZipFile(wheel).read(entry_points).decode()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_functions_and_signatures_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = node.args
        is_flat = (str(path.relative_to(ROOT)), node.name) == FLAT_FUNCTION
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        first_line = node.body[0].lineno if is_flat else node.lineno
        assert (node.end_lineno or 0) - first_line < MAX_FUNCTION_LINES, f"{node.name}: too many lines"
        is_command = path.name == "struct_command.py" or "cli" in path.relative_to(ROOT).with_suffix("").parts
        is_constructor = node.name == "__init__" and str(path.relative_to(ROOT)) in KEYWORD_CONSTRUCTORS
        # A command's parameters are its options, and Typer reads them from a signature that is made.
        is_wide = is_command or is_constructor or is_flat
        assert is_wide or len([n for n in names if n not in ("self", "cls")]) <= MAX_PARAMETERS, node.name
        assert is_command or arguments.kwarg is None, f"{node.name}: expected named parameters, got ** ones"


OWNERS = {
    "spark": ("packer/engines/spark_engine.py", "packer/engines/spark_frame.py"),
    "mxnet": ("packer/loading/mxnet_adapter.py",),
    "tensorflow": ("packer/loading/tf_adapter.py", "packer/trainer/"),
    "torch": ("packer/loading/torch_adapter.py", "packer/trainer/"),
    "horovod": ("packer/trainer/",),
    "report": ("packer/report/",),
    "near": ("packer/imaging/perceptual.py",),
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_optional_libraries_are_required_by_their_owners_alone(path: Path) -> None:
    """`require_extra` imports by name, which import-linter cannot see."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require_extra":
            extra = ast.literal_eval(node.args[1])
            assert str(path.relative_to(ROOT)).startswith(OWNERS[extra]), f"line {node.lineno}: {extra}"


def test_no_two_files_share_a_name() -> None:
    """A name that is there once is enough to find a file; those that Python or pytest prescribes are exempt."""
    paths = [path for part in ("packer", "jobs", "tests", "docker") for path in (ROOT / part).rglob("*.py")]
    names = Counter(path.name for path in paths if path.name not in ("__init__.py", "__main__.py", "conftest.py"))
    assert [name for name, count in names.items() if count > 1] == []


FLAG = re.compile(r"--[a-z][a-z-]*")
OTHERS_FLAGS = frozenset(
    {
        *("--sparse", "--dereference", "--hard-dereference", "--symlinks", "--gloo", "--check-build", "--host"),
        *("--force-reinstall", "--upgrade", "--version", "--no-build-isolation"),
        *("--allow-run-as-root", "--leave-session-attached"),
    }
)
"""Of tar, zip, horovodrun, docker, pip and mpirun."""
COMMAND_LINES = (
    "packer/cli/",
    "packer/programs/",
    "packer/flags.py",
    "packer/trainer/cli.py",
    "packer/trainer/feed/feed_command.py",
    "packer/trainer/struct_command.py",
    "packer/report/",
)
"""A report advises people who pack at a command line."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_below_the_command_lines_names_a_flag(path: Path) -> None:
    """A text that is nothing but a flag is part of a command that is made for another process."""
    name = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if name.startswith(COMMAND_LINES):
        return
    makes_commands = name.startswith(("packer/sagemaker/", "packer/trainer/container/"))
    assert "packer.flags" not in imports or makes_commands, "it makes commands for containers"
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            found = set(FLAG.findall(node.value)) - OTHERS_FLAGS
            assert not found or FLAG.fullmatch(node.value) or "docker run" in node.value, f"line {node.lineno}: {found}"
