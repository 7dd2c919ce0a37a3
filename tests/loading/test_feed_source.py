import socket

import pytest

from packer.errors import DataSetError, OptionsError
from packer.loading import feed_source
from packer.loading.feed_source import DEFAULT_PORT, FeedHost, FeedSource, find_hosts, parse_hosts, read_token


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", [("a", 1)]),
        ("a, b:2", [("a", DEFAULT_PORT), ("b", 2)]),
        ("[::1]:7,[::2]", [("::1", 7), ("::2", DEFAULT_PORT)]),
        ("10.0.0.1", [("10.0.0.1", DEFAULT_PORT)]),
    ],
)
def test_lists_of_hosts(text, expected):
    assert list(parse_hosts(text)) == expected


@pytest.mark.parametrize("text", ["", "a:b", "a:0", "a:65536", ",a", ":1", "::1", "a:1:2", "[]:1"])
def test_what_is_no_list_of_hosts_is_refused(text):
    with pytest.raises(OptionsError, match="`feed`: expected host:port"):
        parse_hosts(text)


def answers(monkeypatch, *found):
    """Let names be looked up as these lists of addresses, one after the other."""
    left = list(found)

    def look_up(name, port, type):
        if not left[0]:
            left.pop(0)
            raise socket.gaierror(-2, "Name or service not known")
        addresses = left[0] if len(left) == 1 else left.pop(0)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, type, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(feed_source.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(feed_source.time, "sleep", lambda _: None)


def test_a_name_with_several_addresses_stands_for_all_of_them(monkeypatch):
    answers(monkeypatch, ["10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"])
    assert find_hosts("feed.default.svc:7") == (
        FeedHost("feed.default.svc", 7, "10.0.0.1"),
        FeedHost("feed.default.svc", 7, "10.0.0.2"),
    )


def test_a_host_with_an_address_of_each_family_is_one_host(monkeypatch):
    answers(monkeypatch, ["fd00::1", "10.0.0.1"])
    assert [str(host) for host in find_hosts("a:7")] == ["a:7"]


def test_addresses_of_the_newer_family_alone(monkeypatch):
    answers(monkeypatch, ["fd00::1", "fd00::2"])
    assert [str(host) for host in find_hosts("a:7")] == ["[fd00::1]:7", "[fd00::2]:7"]


def test_a_host_that_is_named_twice_is_one_host(monkeypatch):
    answers(monkeypatch, ["10.0.0.1"])
    assert len(find_hosts("a:7,a:7")) == 1


def test_a_name_that_is_not_known_yet_is_waited_for(monkeypatch):
    answers(monkeypatch, [], [], ["10.0.0.1"])
    assert [str(host) for host in find_hosts("a:7", wait_s=5)] == ["a:7"]


def test_a_name_that_nobody_knows_is_an_error(monkeypatch):
    answers(monkeypatch, [])
    with pytest.raises(DataSetError, match="data host 'a': the name is not known"):
        find_hosts("a:7", wait_s=0)


def test_tokens(tmp_path, monkeypatch):
    monkeypatch.delenv(feed_source.TOKEN_VARIABLE, raising=False)
    assert read_token("") == ""
    monkeypatch.setenv(feed_source.TOKEN_VARIABLE, "from-the-environment")
    assert read_token("") == "from-the-environment"
    (tmp_path / "token").write_text("from-a-file\n")
    assert read_token(str(tmp_path / "token")) == "from-a-file"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"\xff"])
def test_what_is_no_token_is_refused(tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OptionsError):
        read_token(str(path))


def test_a_feed_needs_hosts():
    with pytest.raises(OptionsError, match="at least one data host"):
        FeedSource(hosts=())
