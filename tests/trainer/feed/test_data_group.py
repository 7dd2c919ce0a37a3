"""Data hosts and what they feed: channels of a job, the end of a run, lost networks, and the trainer itself."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import uuid

import pytest

import packer
from packer.errors import DataSetError, OptionsError
from packer.loading.feed_source import find_hosts
from packer.loading.loader_spec import ChannelInput
from packer.reading.dataset import open_dataset
from packer.trainer.core import feed_options
from packer.trainer.core.feed_options import FeedOptions
from tests.loading.test_loader import assert_same, open_loader, take
from tests.reading.containers import place_shards, write_job
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.data_hosts import run_command, started_host

LIMIT_S = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    splits = {
        "train": deal(make_samples(96, num_classes=3), 4),
        "val": deal(make_samples(19, num_classes=3), 2),
    }
    make_dataset(folder, splits, world=2)
    return folder


def make_job(base, data, *, mode="File", distribution="FullyReplicated", hosts=("algo-1", "algo-2", "algo-3"), host=0):
    files = write_job(base, data, {"train": (mode, distribution)}, hosts=hosts, host=host)
    path = base / "input/config/resourceconfig.json"
    groups = [
        {"instance_group_name": "gpus", "instance_type": "ml.g5.2xlarge", "hosts": ["algo-1"]},
        {"instance_group_name": "cpus", "instance_type": "ml.c5.9xlarge", "hosts": ["algo-3", "algo-2"]},
    ]
    path.write_text(json.dumps({**json.loads(path.read_text()), "instance_groups": groups}))
    return files


class TestDiscovery:
    def test_hosts_of_an_instance_group(self, data, tmp_path, monkeypatch):
        make_job(tmp_path, data)
        asked = []
        monkeypatch.setattr(feed_options, "find_hosts", lambda names, wait_s: asked.append(names) or _HOSTS)
        FeedOptions(feed="group:cpus").find(str(tmp_path))
        FeedOptions(feed="group:cpus:7").find(str(tmp_path))
        assert asked == ["algo-2:8815,algo-3:8815", "algo-2:7,algo-3:7"]

    def test_a_group_that_is_not_there(self, data, tmp_path):
        make_job(tmp_path, data)
        with pytest.raises(OptionsError, match=r"`feed`: expected one of the job's .* \(gpus, cpus\), got 'data'"):
            FeedOptions(feed="group:data").find(str(tmp_path))

    def test_none(self, tmp_path):
        assert FeedOptions().find(str(tmp_path)) is None

    @pytest.mark.parametrize(
        "fields", [{"feed_token_file": "t"}, {"feed_tls": "c"}, {"feed": "a:b"}, {"feed_wait": -1}]
    )
    def test_options_that_make_no_sense(self, fields):
        with pytest.raises(OptionsError):
            FeedOptions(**fields)


_HOSTS = find_hosts("127.0.0.1:1")


@pytest.mark.slow
class TestChannels:
    @pytest.mark.parametrize("mode", ["File", "FastFile"])
    def test_batches_come_from_a_data_hosts_own_channels(self, data, tmp_path, mode):
        files = make_job(tmp_path / "data-host", data, mode=mode, host=1)
        place_shards(files, "train", data, _shards(data))
        own = make_job(tmp_path / "trainer", data)
        place_shards(own, "train", data, _shards(data))
        with (
            started_host("", SAGEMAKER_BASE_DIR=str(tmp_path / "data-host")) as host,
            open_loader(data) as alone,
            _open_in_job(tmp_path / "trainer", host) as fed,
        ):
            assert_same(take(fed, 20), take(alone, 20))
            assert set(fed.meter.made_by) == {host.address}

    @pytest.mark.parametrize(
        ("mode", "distribution", "words"),
        [
            ("File", "ShardedByS3Key", "expected File or FastFile with FullyReplicated .*, found ShardedByS3Key"),
            ("Pipe", "FullyReplicated", "expected channel train|expected File or FastFile"),
        ],
    )
    def test_data_hosts_refuse_what_they_cannot_feed_from(self, data, tmp_path, mode, distribution, words):
        make_job(tmp_path, data, mode=mode, distribution=distribution, host=1)
        with (
            started_host("", SAGEMAKER_BASE_DIR=str(tmp_path)) as host,
            pytest.raises((DataSetError, OptionsError), match=words),
        ):
            open_loader(data, feed=host.address)

    def test_ranks_refuse_shards_of_one_host(self, data, tmp_path):
        hosts = ("algo-1", "algo-2")
        files = write_job(tmp_path, data, {"train": ("File", "ShardedByS3Key")}, hosts=hosts)
        place_shards(files, "train", data, _shards(data)[:2])
        with (
            started_host(data) as host,
            pytest.raises(OptionsError, match="`feed`: .* split 'train' comes as shards of this host alone"),
        ):
            _open_in_job(tmp_path, host, world=2)


def _shards(data):
    return open_dataset(str(data)).manifest.split("train").shards


def _open_in_job(base, host, world=1):
    return packer.Loader(
        ChannelInput(base_dir=str(base)),
        "train",
        batch_size=6,
        image_px=16,
        where="process",
        threads=2,
        world=world,
        feed=host.address,
    )


@pytest.mark.slow
class TestEnd:
    def test_a_host_ends_when_it_is_told_so(self, data):
        with started_host(data) as host:
            with open_loader(data, feed=host.address) as fed:
                take(fed, 5)
            told = run_command("--statistics", host.address)
            made = json.loads(told.stdout)["made"]["ranks"][0]
            assert (made["split"], made["rank"], made["world"]) == ("train", 0, 1)
            assert made["batches"] >= 5
            assert run_command("--finish", host.address).stdout == f"{host.address} ends\n"
            code, output = host.finish()
        assert code == 0
        assert output.startswith("training is over; made ")

    def test_a_host_that_nobody_asks_ends(self, data):
        with started_host(data, "--start-timeout", 1) as host:
            assert host.finish() == (
                1,
                "no rank was heard of for 1 s; made 0 batches, 0 images, for 0 ranks and splits\n",
            )

    def test_a_host_whose_ranks_are_gone_ends(self, data):
        with started_host(data, "--idle-timeout", 6) as host:
            with open_loader(data, feed=host.address) as fed:
                take(fed, 2)
                with pytest.raises(
                    subprocess.TimeoutExpired
                ):  # a rank that takes no batches still says that it is there
                    host.process.wait(12)
            code, output = host.finish()
        assert code == 1
        assert output.startswith("no rank was heard of for 6 s; made ")

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_a_host_ends_at_a_signal(self, data, number, code):
        with started_host(data) as host:
            host.signal(number)
            assert host.finish()[0] == code

    def test_a_host_that_waits_for_its_bucket_ends_at_a_signal(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(LIMIT_S)
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            words = ("-m", "packer.trainer.feed", "--data", "s3://bucket/set", "--endpoint-url", endpoint)
            keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
            host = subprocess.Popen([sys.executable, *words], env=os.environ | keys, stdout=subprocess.PIPE, text=True)
            try:
                with silent.accept()[0]:
                    host.terminate()
                    output, _ = host.communicate(timeout=20)  # the bucket would be waited for ten minutes
            finally:
                host.kill()
        assert (host.returncode, output) == (143, "stopped by SIGTERM before it listened\n")

    def test_a_host_ends_while_a_library_lets_no_handler_run(self):
        script = """
import ctypes, os, signal, threading
from packer.trainer.feed.early_signals import end_at_signals
end_at_signals()
library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
library.pthread_mutex_lock(mutex)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
library.pthread_mutex_lock(mutex)  # waits for ever, and goes on to wait after a signal
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
        assert (done.returncode, done.stdout) == (143, "stopped by SIGTERM before it listened\n")

    def test_a_host_takes_signals_before_it_loads_its_libraries(self):
        """As process 1 of a container it would never hear of them otherwise."""
        script = """
import os, runpy, signal, sys, types
command = types.ModuleType("packer.trainer.feed.feed_command")
command.main = lambda: os.kill(os.getpid(), signal.SIGTERM)
sys.modules[command.__name__] = command
runpy.run_module("packer.trainer.feed", run_name="__main__")
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 143, done.stderr

    def test_a_port_that_is_taken(self, data):
        with started_host(data) as host:
            done = run_command("--data", data, "--bind", "127.0.0.1", "--port", host.port)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(f"error: --port: cannot listen on 127.0.0.1:{host.port}: ")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--data", "/nowhere"), "error: /nowhere: "),
            (("--tls-cert", "a.pem"), "error: --tls-cert: expected --tls-cert and --tls-key together"),
            (("--data", "a", "--manifest", "b"), "error: --manifest: expected it with the channels"),
            (("--token-file", "/nowhere"), "error: "),
            (("--threads", "-1"), "error: --threads: expected at least 0, got -1"),
        ],
    )
    def test_options_that_make_no_sense_are_one_line(self, arguments, words):
        done = run_command(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(words)


@pytest.mark.slow
@pytest.mark.may_skip
def test_a_host_whose_network_is_cut_is_one_that_does_not_answer(data):
    """Two data hosts in network namespaces of their own: nothing refuses a connection, packets are just lost."""
    with (
        _namespace("10.231.7") as first,
        _namespace("10.231.8") as second,
        started_host(data, "--bind", first.address, prefix=first.prefix) as one,
        started_host(data, "--bind", second.address, prefix=second.prefix) as other,
        open_loader(data, feed=f"{one.address},{other.address}") as fed,
        open_loader(data) as alone,
    ):
        found = take(fed, 10)
        first.cut()
        found += take(fed, 30)
        assert_same(found, take(alone, 40))
        made_by = fed.meter.made_by
    assert made_by[other.address] > made_by[one.address] > 0


class _Namespace:
    def __init__(self, name, net):
        self._name, self.address = name, f"{net}.2"
        self.prefix = ("ip", "netns", "exec", name)

    def cut(self):
        _ip("netns", "exec", self._name, "ip", "link", "set", "eth0", "down")


@contextlib.contextmanager
def _namespace(net):
    name = f"feed-{uuid.uuid4().hex[:6]}"
    link = f"v{name[5:]}"
    if os.getuid() or subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces need root and the right to make them")
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{net}.1/24", "dev", link)
        _ip("link", "set", link, "up")
        for command in (("addr", "add", f"{net}.2/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            _ip("-n", name, *command)
        yield _Namespace(name, net)
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "framework",
    [pytest.param("torch", marks=pytest.mark.torch), pytest.param("keras", marks=pytest.mark.tensorflow)],
)
class TestTrainer:
    @pytest.fixture(autouse=True)
    def _framework(self, framework):
        pytest.importorskip({"torch": "torch", "keras": "tensorflow"}[framework])

    def test_training_is_that_of_a_lone_host_and_data_hosts_end_with_it(self, data, tmp_path, framework):
        assert train(framework, data, tmp_path / "alone.json").returncode == 0
        with started_host(data) as first, started_host(data) as second:
            done = train(framework, data, tmp_path / "fed.json", "--feed", f"{first.address},{second.address}")
            assert done.returncode == 0, done.stderr
            ends = [first.finish(), second.finish()]
        alone, fed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "fed"))
        assert [epoch["loss"] for epoch in fed["epochs"]] == [epoch["loss"] for epoch in alone["epochs"]]
        assert [e["evaluation"]["accuracy"] for e in fed["epochs"]] == [
            e["evaluation"]["accuracy"] for e in alone["epochs"]
        ]
        assert [code for code, _ in ends] == [0, 0]
        assert "for 2 ranks and splits" in ends[0][1]

    def test_what_a_data_host_refuses_is_said_before_the_first_step(self, data, tmp_path, framework):
        token = tmp_path / "token"
        token.write_text("open sesame")
        with started_host(data, "--token-file", token) as host:
            done = train(framework, data, tmp_path / "metrics.json", "--feed", host.address)
        assert done.returncode == 2
        expected = f"--feed-token-file: data host {host.address}: it asks for a token, and none is given"
        assert done.stderr.splitlines()[-1].endswith(expected)
        assert "epoch" not in done.stdout


def train(framework, data, metrics, *more):
    command = [
        *(sys.executable, "-m", "packer.trainer", "--framework", framework, "--data", str(data), "--epochs", "2"),
        *("--eval-split", "val", "--image-size", "16", "--batch-size", "8", "--metrics", str(metrics), *more),
    ]
    environ = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environ, check=False)
