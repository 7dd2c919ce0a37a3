"""Images: what is left in the last stage, and that all that is copied is there. `make lint` lints the files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

from packer.cli.main import app

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
TRAINING = [path for path in FILES if path.name.startswith("train")]
COMPILERS = re.compile(r"\bg\+\+|\bgcc\b|\bmake\b|cmake|build-essential|-dev\b|-devel-")


def stages(path: Path) -> list[str]:
    """Return the instructions of each stage, without comments and with lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return re.split(r"(?m)^(?=FROM )", joined)[1:]


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.name)
def test_compilers_stay_in_the_first_stage(path: Path) -> None:
    build, last = stages(path)
    assert "docker/install_horovod.sh" in build
    assert COMPILERS.search(build)
    assert not COMPILERS.search(last)
    assert re.search(r"COPY --from=build /opt/venv /opt/venv", last)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there(path: Path) -> None:
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", "\n".join(stages(path)))
    assert copied
    for names in copied:
        for name in names.split():
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.name)
def test_the_first_train_on_the_path_is_ours(path: Path) -> None:
    """It passes signals on; that of SageMaker's toolkit, in the virtual environment, does not."""
    last = stages(path)[-1]
    (folders,) = re.findall(r"(?m)^ENV PATH=(\S+)$", last)
    assert folders.split(":")[0] == "/opt/shardpack/bin"
    assert re.search(r"(?m)^COPY docker/train /opt/shardpack/bin/train$", last)
    program = ROOT / "docker/train"
    assert program.stat().st_mode & 0o111 == 0o111
    assert program.read_text().startswith("#!/opt/venv/bin/python\n")
    assert "sagemaker-training==5.1.4" in stages(path)[0]


def test_the_cluster_at_home_is_made_of_what_is_here() -> None:
    """No Docker is at hand where tests run, so that the file is read as Compose reads it, and its job by bash."""
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    assert set(services) == {"s3", "master", "worker", "submit"}
    for service in services.values():
        assert set(service) <= {"image", "build", "command", "environment", "depends_on", "deploy", "volumes"}
        assert (ROOT / service["build"]["dockerfile"]).exists()
        assert set(service.get("depends_on", [])) <= set(services)
    (shell, _, script) = services["submit"]["command"]
    script = script.replace("$$", "$")
    subprocess.run([shell, "-n", "-c", script], check=True)
    program = (ROOT / "packer/programs/emr_pack.py").name
    assert f"/{program}" in script
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {option for parameter in commands["pack"].params for option in parameter.opts}
    given = re.findall(r"--\S+", script.partition("s3://home/packed ")[2].partition("\n")[0])
    assert given
    assert set(given) <= known
    assert services["submit"]["environment"] == services["worker"]["environment"]
    assert "://s3:5000" in services["submit"]["environment"]["AWS_ENDPOINT_URL"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_let_through(path: Path) -> None:
    """`.dockerignore` leaves out everything that it does not name."""
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for names in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", "\n".join(stages(path))):
        for name in names.split():
            assert any(name == given or name.startswith(f"{given}/") for given in let_through), name
