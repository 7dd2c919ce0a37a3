"""Processors that a process may use; the trees of files are those of real kernels, with folders of the test's own."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from packer.processors import cgroup_quota, count_processors

ROOT = Path(__file__).parents[1]
ALLOWED = len(os.sched_getaffinity(0))


def write_process(tmp_path, cgroup, *mounts):
    """Return a folder as /proc/self is, with the mounts at places inside `tmp_path`."""
    folder = tmp_path / "process"
    folder.mkdir()
    (folder / "cgroup").write_text(cgroup)
    (folder / "mountinfo").write_text("\n".join(mount.format(at=tmp_path) for mount in mounts) + "\n")
    return folder


def write_files(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


UNIFIED = "30 25 0:26 / {at}/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
LEGACY = "33 31 0:30 / {at}/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct"
SET = "34 31 0:31 / {at}/cgroup/cpuset rw,nosuid shared:10 - cgroup cgroup rw,cpuset"


class TestVersion2:
    def test_the_least_of_all_around_counts(self, tmp_path):
        process = write_process(tmp_path, "0::/pods/pod7/box\n", "21 1 8:1 / / rw - ext4 /dev/root rw", UNIFIED)
        top = tmp_path / "cgroup"
        write_files(top)  # the root has no limit
        write_files(top / "pods", cpu__max="max 100000\n")
        write_files(top / "pods/pod7", cpu__max="150000 100000\n")
        write_files(top / "pods/pod7/box", cpu__max="400000 100000\n")
        assert cgroup_quota(process) == 1.5
        assert count_processors(process) == min(ALLOWED, 2)

    def test_a_containers_own_root(self, tmp_path):
        process = write_process(tmp_path, "0::/\n", UNIFIED)
        write_files(tmp_path / "cgroup", cpu__max="50000 100000\n")
        assert (cgroup_quota(process), count_processors(process)) == (0.5, 1)

    def test_a_path_from_outside_of_what_is_mounted(self, tmp_path):
        process = write_process(tmp_path, "0::/../../other\n", UNIFIED.replace(" / {at}", " /docker/1 {at}"))
        write_files(tmp_path / "cgroup", cpu__max="100000 100000\n")
        assert cgroup_quota(process) == 1

    def test_no_limit(self, tmp_path):
        process = write_process(tmp_path, "0::/box\n", UNIFIED)
        write_files(tmp_path / "cgroup/box", cpu__max="max 100000\n")
        assert (cgroup_quota(process), count_processors(process)) == (None, ALLOWED)


class TestVersion1:
    CGROUP = "9:name=systemd:/\n4:cpuset:/\n3:cpu,cpuacct:/docker/1\n"

    def test_as_the_host_sees_it(self, tmp_path):
        process = write_process(tmp_path, self.CGROUP, SET, LEGACY)
        folder = tmp_path / "cgroup/cpu,cpuacct/docker/1"
        write_files(folder, cpu__cfs_quota_us="300000\n", cpu__cfs_period_us="200000\n")
        write_files(folder.parent, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
        assert cgroup_quota(process) == 1.5

    def test_inside_a_container(self, tmp_path):
        process = write_process(tmp_path, self.CGROUP, SET, LEGACY.replace(" / {at}", " /docker/1 {at}"))
        write_files(tmp_path / "cgroup/cpu,cpuacct", cpu__cfs_quota_us="25000\n", cpu__cfs_period_us="100000\n")
        assert (cgroup_quota(process), count_processors(process)) == (0.25, 1)

    def test_no_limit(self, tmp_path):
        process = write_process(tmp_path, self.CGROUP, SET, LEGACY)
        write_files(tmp_path / "cgroup/cpu,cpuacct", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
        assert cgroup_quota(process) is None


def test_without_proc_the_affinity_counts(tmp_path):
    assert count_processors(tmp_path / "none") == ALLOWED


def test_the_affinity_of_this_process():
    script = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    assert ask_for_threads(script) == 1


def ask_for_threads(before, **options):
    """Return the threads that a loader takes by itself in a process of its own."""
    script = before + "from packer.loading.loader import default_threads; print(default_threads())"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, **options
    )
    return int(run.stdout)


@pytest.mark.may_skip
def test_a_real_cgroup(tmp_path):
    folder = Path("/sys/fs/cgroup/cpu") / f"shardpack-{os.getpid()}"
    unified = Path("/sys/fs/cgroup") / folder.name
    made = None
    for place, name, text in ((folder, "cpu.cfs_quota_us", "50000"), (unified, "cpu.max", "50000 100000")):
        with contextlib.suppress(OSError):
            place.mkdir()
            made = place
            (place / name).write_text(text)
            break
        if made is not None:  # a folder that has no such file
            made.rmdir()
            made = None
    if made is None:
        pytest.skip("no cgroup can be made here")
    try:
        script = f"import os; open({str(made / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        assert ask_for_threads(script) == 1
    finally:
        made.rmdir()
