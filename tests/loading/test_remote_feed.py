"""Loaders that real data hosts feed, each a process, while they are killed, stopped and slowed down."""

import contextlib
import dataclasses
import signal
import subprocess
import time

import msgspec
import pytest

from packer.errors import DataSetError, OptionsError, PackerError, WorkerError
from packer.loading import remote_feed
from packer.loading.feed_source import FeedSource, IfLost, find_hosts
from tests.loading.test_loader import assert_same, labels, open_loader, take
from tests.reading.make_dataset import deal, make_dataset, make_samples
from tests.tools.data_hosts import run_command, started_host

pytestmark = pytest.mark.slow  # each test starts processes

NUM_TRAIN, NUM_VAL = 48, 13
TRANSFORM = "tests.loading.test_loader:add_noise"


def make_data(folder, *, first=0):
    splits = {"train": deal(make_samples(NUM_TRAIN, first=first), 4), "val": deal(make_samples(NUM_VAL, first=1), 4)}
    make_dataset(folder, splits, world=2)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def hosts(data):
    with started_host(data) as first, started_host(data) as second:
        yield first, second


@pytest.fixture
def own_hosts(data):
    """Those that a test may harm."""
    with started_host(data) as first, started_host(data) as second:
        yield first, second


def source_of(*hosts, **options):
    return FeedSource(hosts=find_hosts(",".join(host.address for host in hosts)), **options)


def open_fed(data, hosts, split="train", **options):
    return open_loader(data, split, feed=",".join(host.address for host in hosts), **options)


def assert_equal(ours, theirs):
    assert_same(ours, theirs)
    assert [list(batch.keys) for batch in ours] == [list(batch.keys) for batch in theirs]
    assert [batch.weights.tolist() for batch in ours] == [batch.weights.tolist() for batch in theirs]


class TestBatches:
    @pytest.mark.parametrize("where", ["process", "subprocess"])
    def test_they_are_those_of_a_lone_host(self, data, hosts, where):
        with open_fed(data, hosts, keys=True, where=where) as fed, open_loader(data, keys=True) as alone:
            assert_equal(take(fed, 20), take(alone, 20))
            made_by = fed.meter.made_by
        assert {host.address for host in hosts} == set(made_by)
        assert min(made_by.values()) > 0

    def test_they_are_those_of_all_ranks(self, data, hosts):
        found = []
        for rank in range(4):
            with open_fed(data, hosts, rank=rank, world=4) as fed, open_loader(data, rank=rank, world=4) as alone:
                ours = take(fed, fed.steps)
                assert_same(ours, take(alone, alone.steps))
                found += labels(ours)
        assert sorted(found) == list(range(NUM_TRAIN))

    def test_they_are_those_of_passes_of_an_evaluation(self, data, hosts):
        options = {"split": "val", "batch_size": 4, "keys": True, "rank": 1, "world": 2}
        with open_fed(data, hosts, **options) as fed, open_loader(data, **options) as alone:
            for _ in range(2):
                assert_equal(take(fed, 9), take(alone, 9))

    def test_they_go_on_from_a_state_with_and_without_data_hosts(self, data, hosts):
        with open_loader(data) as alone:
            expected = take(alone, 14)
        with open_fed(data, hosts) as fed:
            first = take(fed, 5)
            state = fed.state_dict()
        with open_loader(data) as alone:
            alone.load_state_dict(state)
            second = take(alone, 4)
            state = alone.state_dict()
        with open_fed(data, hosts) as fed:
            fed.load_state_dict(state)
            third = take(fed, 5)
        assert_same([*first, *second, *third], expected)

    def test_columns_and_transforms(self, tmp_path):
        data = tmp_path / "data"
        data.mkdir()
        samples = [dataclasses.replace(s, extras={"box": (1, n)}) for n, s in enumerate(make_samples(NUM_TRAIN))]
        make_dataset(data, {"train": deal(samples, 4)}, world=2)
        options = {"columns": ("box",), "transform": TRANSFORM}
        with (
            started_host(data, "--transform", TRANSFORM) as host,
            open_fed(data, [host], **options) as fed,
            open_loader(data, **options) as alone,
        ):
            ours, theirs = take(fed, 8), take(alone, 8)
        assert_same(ours, theirs)
        assert [batch.columns for batch in ours] == [batch.columns for batch in theirs]
        assert isinstance(ours[0].columns["box"][0], tuple)

    def test_all_of_them_may_be_held(self, data, hosts):
        with open_fed(data, hosts) as fed, open_loader(data) as alone:
            held = [batch for batch, _ in zip(fed, range(30), strict=False)]
            assert_same(held, take(alone, 30))


class TestLoss:
    """Not one batch is lost, doubled or changed, whatever happens to data hosts."""

    def check(self, data, hosts, harm, *, source=None, num_batches=40):
        """Take batches, do harm after the first ten, and compare all with those of a lone host."""
        with open_loader(data) as alone:
            expected = take(alone, num_batches)
        with open_loader(data, feed=source or source_of(*hosts)) as fed:
            found = take(fed, 10)
            with harm() or contextlib.nullcontext():
                found += take(fed, num_batches - 10)
            meter = fed.meter
        assert_same(found, expected)
        return meter.made_by

    def test_a_host_is_killed(self, data, own_hosts):
        made_by = self.check(data, own_hosts, lambda: own_hosts[0].signal(signal.SIGKILL))
        assert set(made_by) == {host.address for host in own_hosts}

    def test_a_host_is_stopped(self, data, own_hosts):
        made_by = self.check(data, own_hosts, lambda: own_hosts[1].signal(signal.SIGSTOP))
        assert made_by[own_hosts[0].address] > made_by[own_hosts[1].address]

    def test_a_host_is_slow(self, data, own_hosts):
        self.check(data, own_hosts, lambda: own_hosts[0].slowed_down(0.02))

    def test_all_hosts_are_killed_and_batches_are_made_here(self, data, own_hosts):
        def harm():
            for host in own_hosts:
                host.signal(signal.SIGKILL)

        assert self.check(data, own_hosts, harm)[""] > 10

    def test_all_hosts_are_killed_and_that_is_an_error(self, data, own_hosts, monkeypatch):
        monkeypatch.setattr(remote_feed, "_LOST_AFTER_S", 3.0)
        source = source_of(*own_hosts, if_lost=IfLost.ERROR)

        def harm():
            for host in own_hosts:
                host.signal(signal.SIGKILL)

        with pytest.raises(WorkerError, match="epoch [01], step [0-7]: no data host has answered for 3 s"):
            self.check(data, own_hosts, harm, source=source)

    def test_a_host_that_comes_back_is_asked_again(self, data, own_hosts):
        host = own_hosts[0]
        with open_fed(data, [host]) as fed, open_loader(data) as alone:
            host.signal(signal.SIGSTOP)
            found = take(fed, 12)
            host.signal(signal.SIGCONT)
            until_s = time.monotonic() + 60
            while not (fed.meter.made_by.get(host.address, 0) > 5):
                assert time.monotonic() < until_s
                found += take(fed, 1)
                time.sleep(0.05)
            assert_same(found, take(alone, len(found)))

    def test_a_host_that_was_restarted_with_other_data_is_refused(self, data, own_hosts, tmp_path):
        other = make_data(tmp_path, first=7)
        with open_fed(data, own_hosts[:1]) as fed:
            take(fed, 3)
            own_hosts[0].signal(signal.SIGKILL)
            own_hosts[0].process.wait()
            with (
                started_host(other, "--port", own_hosts[0].port),
                pytest.raises(DataSetError, match="reads another data set"),
            ):
                take_slowly(fed)

    def test_a_record_that_one_host_cannot_read_comes_from_another(self, data, tmp_path):
        broken = make_data(tmp_path)
        shard = sorted((broken / "train").iterdir())[1]
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
        with started_host(broken) as first, started_host(data) as second:
            made_by = self.check(data, [first, second], lambda: None)
        assert made_by[second.address] > 0


class TestRefusals:
    def test_another_data_set(self, data, tmp_path):
        with (
            started_host(make_data(tmp_path, first=7)) as host,
            pytest.raises(DataSetError, match="data host 127.0.0.1:[0-9]*: it reads another data set") as caught,
        ):
            open_fed(data, [host])
        assert "\n" not in str(caught.value)

    def test_another_version(self, data, hosts, monkeypatch):
        monkeypatch.setattr(remote_feed, "request_of", _with(remote_feed.request_of, version=2))
        with pytest.raises(PackerError, match="expected version 1 of the feed's requests, got 2"):
            open_fed(data, hosts)

    def test_another_order(self, data, hosts, monkeypatch):
        monkeypatch.setattr(remote_feed, "request_of", _with(remote_feed.request_of, order_version=9))
        with pytest.raises(OptionsError, match="version 1 of the order of records, the rank has 9"):
            open_fed(data, hosts)

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("decoder_id", "other-1", "decoder of images: it has '.*', the rank has 'other-1'"),
            ("num_lanes", 3, "number of lanes: it has 2, the rank has 3"),
            ("steps", 99, "steps of an epoch: it has 8, the rank has 99"),
            ("label_values", 2, "values of a label: it has 0, the rank has 2"),
        ],
    )
    def test_another_way_to_make_batches(self, data, hosts, monkeypatch, field, value, words):
        monkeypatch.setattr(remote_feed, "request_of", _with(remote_feed.request_of, **{field: value}))
        with pytest.raises(DataSetError, match=words):
            open_fed(data, hosts)

    def test_a_transform_that_the_host_was_not_started_with(self, data, hosts):
        with pytest.raises(OptionsError, match="started with no transform, the rank's loader has"):
            open_fed(data, hosts, transform=TRANSFORM)

    def test_nobody_listens(self, data):
        with pytest.raises(DataSetError, match="no data host answers within 0 s: 127.0.0.1:1: Connection refused"):
            open_loader(data, feed=FeedSource(hosts=find_hosts("127.0.0.1:1"), wait_s=0))


class TestAccess:
    """Tokens and TLS."""

    def test_a_token(self, data, tmp_path):
        token, other = write(tmp_path / "token", "open sesame"), write(tmp_path / "other", "open barley")
        with started_host(data, "--token-file", token) as host:
            with open_loader(data, feed=source_of(host, token_file=token)) as fed, open_loader(data) as alone:
                assert_same(take(fed, 3), take(alone, 3))
            with pytest.raises(OptionsError, match=f"data host {host.address}: it refused the token of this rank$"):
                open_loader(data, feed=source_of(host, token_file=other))
            with pytest.raises(
                OptionsError, match=f"data host {host.address}: it asks for a token, and none is given$"
            ):
                open_loader(data, feed=source_of(host))
            refused = run_command("--statistics", host.address)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)

    def test_tls(self, data, tmp_path, certificates):
        cert, key, other = certificates
        with started_host(data, "--tls-cert", cert, "--tls-key", key) as host, started_host(data) as plain:
            with open_loader(data, feed=source_of(host, tls=cert)) as fed, open_loader(data) as alone:
                assert_same(take(fed, 3), take(alone, 3))
            with pytest.raises(
                OptionsError, match="`feed_tls`: .*its certificate is not trusted: self-signed"
            ) as caught:
                open_loader(data, feed=source_of(host, tls=other))
            assert "\n" not in str(caught.value)
            with pytest.raises(OptionsError, match="`feed_tls`: .*asks for TLS, and no certificates are given"):
                open_loader(data, feed=source_of(host))
            with pytest.raises(OptionsError, match="`feed_tls`: .*expected TLS, found none"):
                open_loader(data, feed=source_of(plain, tls=cert))
        with pytest.raises(OptionsError, match="expected certificates"):
            open_loader(data, feed=source_of(plain, tls=write(tmp_path / "empty.pem", "nothing")))

    def test_a_certificate_for_another_name(self, data, tmp_path):
        cert, key = make_certificate(tmp_path, "elsewhere", "DNS:elsewhere")
        with (
            started_host(data, "--tls-cert", cert, "--tls-key", key) as host,
            pytest.raises(OptionsError, match="its certificate is not trusted: IP address mismatch"),
        ):
            open_loader(data, feed=source_of(host, tls=cert))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A host's certificate and key, and a certificate that has nothing to do with it."""
    folder = tmp_path_factory.mktemp("certificates")
    cert, key = make_certificate(folder, "host", "IP:127.0.0.1")
    return cert, key, make_certificate(folder, "other", "IP:127.0.0.1")[0]


def make_certificate(folder, name, alternative):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName={alternative}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return str(cert), str(key)


def write(path, text):
    path.write_text(text)
    return str(path)


def take_slowly(loader):
    for _ in range(400):
        take(loader, 1)
        time.sleep(0.05)


def _with(function, **changes):
    return lambda setup: msgspec.structs.replace(function(setup), **changes)
