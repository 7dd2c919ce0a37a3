"""Spark's own cluster on this machine: a master, and workers that are hosts of their own to the network.

Each worker is in a network namespace whose one interface hangs on a bridge, so that hosts reach each other and the
driver over a network that can be cut. Files are those of this machine, as on a shared file system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.tools.spark_sessions import QUICK_JVM

INTERFACE = "eth0"
LIMIT_S = 180
_CLASSES = "org.apache.spark.deploy"
_HOST_IS_LOST_S = 8
"""Seconds without a heartbeat after which the master gives a worker up; 60 by default."""
_PORT = 7079


@dataclass(slots=True)
class WorkerHost:
    """A namespace with a worker in it."""

    name: str
    address: str
    process: subprocess.Popen[bytes] | None = None

    def set_link(self, state: str) -> None:
        """Plug the host's network in (``up``) or out (``down``)."""
        _ip("-n", self.name, "link", "set", INTERFACE, state)

    def find(self, text: str) -> list[int]:
        """Return the processes in this host's namespace whose command line has a text."""
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return [pid for pid in map(int, listed.stdout.split()) if text in _command_line(pid)]


@dataclass(slots=True)
class SparkCluster:
    """A running master and its workers."""

    folder: Path
    spark_home: Path
    bridge: str
    net: str
    """First three numbers of its addresses, its own; driver and master are the first host."""
    hosts: list[WorkerHost]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def master(self) -> str:
        """What spark-submit is told."""
        return f"spark://{self.net}.1:{_PORT}"

    @property
    def driver_options(self) -> list[str]:
        """Options of spark-submit with which executors find the driver, and a lost one is soon given up."""
        settings = {
            "driver.host": f"{self.net}.1",
            "driver.bindAddress": f"{self.net}.1",
            "ui.enabled": "false",
            "executor.memory": "512m",
            "executor.extraJavaOptions": QUICK_JVM,
            "speculation": "true",
            "speculation.minTaskRuntime": "4s",
            "speculation.quantile": "0.3",
        }
        options = ["--master", self.master, "--driver-java-options", QUICK_JVM]
        return options + [word for name, value in settings.items() for word in ("--conf", f"spark.{name}={value}")]

    def start_master(self) -> None:
        """Start the master on this host."""
        words = (f"{_CLASSES}.master.Master", "--host", f"{self.net}.1", "--port", _PORT, "--webui-port", 0)
        self._start((), words)

    def start_workers(self) -> None:
        """Start a worker, with one core, on each host that has none, and wait until the master knows it."""
        for host in self.hosts:
            if host.process is not None and host.process.poll() is None:
                continue
            known = self._count_registered()
            words = ("--cores", 1, "--memory", "1g", "--host", host.address, "--webui-port", 0)
            folder = ("--work-dir", self.folder / host.name)
            where = ("ip", "netns", "exec", host.name)
            host.process = self._start(where, (f"{_CLASSES}.worker.Worker", *words, *folder, self.master))
            wait_for(lambda known=known: self._count_registered() > known, "a worker to register")

    def heal(self) -> None:
        """Plug all hosts in, and start the workers that have ended."""
        for host in self.hosts:
            host.set_link("up")
        self.start_workers()

    def _count_registered(self) -> int:
        return sum(path.read_text(errors="replace").count("Registering worker") for path in self.folder.glob("*.log"))

    def _start(self, where: tuple[str, ...], words: tuple[object, ...]) -> subprocess.Popen[bytes]:
        command = [*where, str(self.spark_home / "bin/spark-class"), *map(str, words)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
        environment |= {"SPARK_HOME": str(self.spark_home), "SPARK_DAEMON_MEMORY": "256m"}
        environment |= {"SPARK_DAEMON_JAVA_OPTS": f"{QUICK_JVM} -Dspark.worker.timeout={_HOST_IS_LOST_S}"}
        environment |= {"SPARK_LOCAL_DIRS": str(self.folder / "local"), "SPARK_LOG_DIR": str(self.folder)}
        with open(self.folder / f"{len(self.processes)}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End all that was started."""
        for host in self.hosts:
            for pid in host.find(""):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def spark_cluster(folder: Path, spark_home: Path, *, num_workers: int = 2) -> Iterator[SparkCluster]:
    """Yield a cluster. Skips the test where this machine has no namespaces, bridges or rights to make them."""
    tag = uuid.uuid4().hex[:6]
    net = f"10.79.{int(tag, 16) % 256}"
    hosts = [WorkerHost(f"spark{n}-{tag}", f"{net}.{n + 2}") for n in range(num_workers)]
    cluster = SparkCluster(folder=folder, spark_home=spark_home, bridge=f"spb-{tag}", net=net, hosts=hosts)
    with contextlib.ExitStack() as stack:
        if os.getuid() or not shutil.which("ip") or _try("link", "add", cluster.bridge, "type", "bridge"):
            pytest.skip("a network of hosts needs the command ip, bridges and root's rights")
        stack.callback(_try, "link", "del", cluster.bridge)
        _ip("addr", "add", f"{net}.1/24", "dev", cluster.bridge)
        _ip("link", "set", cluster.bridge, "up")
        for number, host in enumerate(hosts):
            _ip("netns", "add", host.name)
            stack.callback(_try, "netns", "del", host.name)
            link = f"spv{number}-{tag}"
            _ip("link", "add", link, "type", "veth", "peer", "name", INTERFACE, "netns", host.name)
            _ip("link", "set", link, "master", cluster.bridge, "up")
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", INTERFACE)
            for name in ("lo", INTERFACE):
                _ip("-n", host.name, "link", "set", name, "up")
        stack.callback(cluster.stop)
        cluster.start_master()
        cluster.start_workers()
        yield cluster


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something is so. Fails the test after minutes."""
    deadline_s = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.05)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended
        return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _try(*words: str) -> int:
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode
