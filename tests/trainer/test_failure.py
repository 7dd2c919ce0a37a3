from packer.trainer.core.failure import put_failure
from packer.trainer.core.world import World

WORLD = World(rank=1, local_rank=1, size=2, local_size=2)


def container(root):
    (root / "input/config").mkdir(parents=True)
    (root / "input/config/inputdataconfig.json").write_text("{}")
    return root


def test_the_first_reason_of_a_host_is_kept(tmp_path):
    put_failure(str(container(tmp_path)), WORLD, "a shard is missing")
    put_failure(str(tmp_path), World(), "another rank stopped")
    assert (tmp_path / "output/failure").read_text() == "rank 1 of 2: a shard is missing"


def test_as_much_is_written_as_is_read(tmp_path):
    put_failure(str(container(tmp_path)), WORLD, "x" * 5000)
    assert len((tmp_path / "output/failure").read_text()) == 1024


def test_elsewhere_nothing_is_written(tmp_path):
    put_failure(str(tmp_path), WORLD, "a shard is missing")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_no_failure(tmp_path):
    (container(tmp_path) / "output").write_text("")
    put_failure(str(tmp_path), WORLD, "a shard is missing")
