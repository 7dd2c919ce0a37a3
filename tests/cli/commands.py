"""Running shardpack in this process."""

import pytest

from packer.cli.main import run


def shardpack(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run in this process; return exit code, standard output and standard error."""
    code = run([str(argument) for argument in arguments])
    out, errors = capfd.readouterr()
    assert "Traceback" not in out + errors
    return code, out, errors
