"""What S3's refusals become, and that no credential or signature is in anything that a user may be shown."""

import logging
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from packer.errors import OptionsError, PackerError, StoreAccessError, StoreError
from packer.specs import Encryption, StoreOptions
from packer.stores import s3
from packer.stores.open_store import share_options
from packer.stores.retry import RetryPolicy
from packer.stores.s3 import S3Store
from packer.stores.s3client import connect, disconnect
from tests.stores.conftest import SECRETS, Bucket

pytestmark = pytest.mark.slow

_TOKEN = "FwoGZXsessionTOKENshardpacktest"
_SECRETS = (*SECRETS.values(), _TOKEN, "Signature=", "StringToSign", "Authorization", "deadbeefcafe")

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Stub:
    """An S3 server that answers every request in one way, and remembers the requests."""

    answer: Callable[[str, str], Answer]
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    endpoint: str = ""

    @property
    def options(self) -> StoreOptions:
        return StoreOptions(endpoint_url=self.endpoint, timeout_s=2)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    for name, value in {**SECRETS, "AWS_SESSION_TOKEN": _TOKEN, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "_POLICY", RetryPolicy(base_s=0.01, budget_s=0.1))
    disconnect()
    stub = Stub(lambda method, path: (200, {}, b""))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            status, headers, body = stub.answer(self.command, self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_one

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stub.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield stub
    server.shutdown()
    server.server_close()
    disconnect()


def error_body(code: str, extra: str = "") -> bytes:
    echo = "".join(f"<{n}>{v}</{n}>" for n, v in (
        ("AWSAccessKeyId", SECRETS["AWS_ACCESS_KEY_ID"]), ("StringToSign", "AWS4-HMAC-SHA256 deadbeefcafe"),
        ("SignatureProvided", "deadbeefcafe"), ("Token-0", _TOKEN),
    ))  # fmt: skip
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message>{extra}{echo}</Error>".encode()


def operations(store: S3Store) -> dict[str, Callable[[], object]]:
    return {
        "get": lambda: store.get("train/k"),
        "range": lambda: store.get_range("train/k", 0, 5),
        "put": lambda: store.put("train/k", [b"x"]),
        "claim": lambda: store.put_if_absent("train/k", [b"x"]),
        "list": lambda: list(store.list("train/k")),
        "delete": lambda: store.delete("train/k"),
        "delete-all": lambda: store.delete_all(["train/k"]),
    }


_REFUSALS = [
    (403, "AccessDenied", "", StoreAccessError, r"s3://bucket/p/train/k: may not \w+ it \(AccessDenied\)"),
    (403, "SignatureDoesNotMatch", "", StoreAccessError, "the secret key does not belong"),
    (403, "InvalidAccessKeyId", "", StoreAccessError, "the access key is not known"),
    (400, "ExpiredToken", "", StoreAccessError, "credentials have expired: sign in again"),
    (400, "InvalidToken", "", StoreAccessError, "session token is not valid"),
    (403, "RequestTimeTooSkewed", "", StoreAccessError, "this machine's clock"),
    (404, "NoSuchBucket", "", StoreError, "s3://bucket: there is no such bucket"),
    (301, "PermanentRedirect", "", StoreError, "in another region.*AWS_DEFAULT_REGION"),
    (400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>", StoreError, "bucket is in eu-west-1"),
    (501, "NotImplemented", "", StoreError, "the server cannot"),
    (400, "InvalidRequest", "", StoreError, "refuses with status 400 InvalidRequest"),
    (503, "SlowDown", "", StoreError, r"status 503 SlowDown; tried \d+ times"),
]


@pytest.mark.parametrize("action", ["get", "range", "put", "claim", "list", "delete", "delete-all"])
@pytest.mark.parametrize("refusal", _REFUSALS, ids=lambda refusal: refusal[1])
def test_refusals_are_one_plain_line_without_secrets(
    stub: Stub, refusal: tuple, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, code, extra, kind, expected = refusal
    caplog.set_level(logging.DEBUG)
    stub.answer = lambda method, path: (status, {"Content-Type": "application/xml"}, error_body(code, extra))
    store = S3Store("s3://bucket/p", stub.options)
    with pytest.raises(kind, match=expected) as caught:
        operations(store)[action]()
    error = caught.value
    assert isinstance(error, PackerError)
    assert "\n" not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    shown = [
        *traceback.format_exception(error), repr(error), caplog.text, repr(store), repr(vars(store)),
        repr(connect("bucket", stub.options)), repr(connect("bucket", stub.options).objects),
    ]  # fmt: skip
    for secret in _SECRETS:
        assert not [text for text in shown if secret in text.replace(code, "")], secret
    context = error.__context__
    while context is not None:  # no chain that a debugger or a logger would unroll
        assert not any(secret in str(context) for secret in _SECRETS)
        context = context.__context__


def test_what_worked_is_not_logged_with_its_signature(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    stub.answer = lambda method, path: (200, {"Content-Type": "application/xml"}, body)
    assert list(S3Store("s3://bucket/p", stub.options).list()) == []
    assert "authorization" in stub.requests[-1][2]
    assert not any(secret in caplog.text for secret in _SECRETS)


def test_an_empty_answer_to_a_wrong_address_is_told(stub: Stub) -> None:
    stub.answer = lambda method, path: (200, {"Content-Type": "text/html"}, b"<html>a web site</html>")
    with pytest.raises(StoreError, match="the answer is a web page, expected one of S3: set the endpoint"):
        list(S3Store("s3://bucket/p", stub.options).list())


def test_both_clients_sign_with_the_same_key_and_say_who_pays(stub: Stub) -> None:
    stub.answer = lambda method, path: (404, {}, error_body("NoSuchKey"))
    options = StoreOptions(endpoint_url=stub.endpoint, requester_pays=True, sse=Encryption.KMS, kms_key="key-7")
    store = S3Store("s3://bucket/p", options)
    for name in ("get", "list"):
        with pytest.raises((OSError, PackerError)):
            operations(store)[name]()
    (_, path_of_get, get), (_, path_of_list, listing) = stub.requests
    assert path_of_get == "/bucket/p/train/k"
    assert path_of_list.startswith("/bucket?list-type=2")
    for headers in (get, listing):
        assert f"Credential={SECRETS['AWS_ACCESS_KEY_ID']}/" in headers["authorization"]
        assert headers["x-amz-security-token"] == _TOKEN
        assert headers["x-amz-request-payer"] == "requester"
    stub.answer = lambda method, path: (200, {"ETag": '"' + "0" * 32 + '"'}, b"")
    store.put("k", [b"x"])  # with a key of a key service the tag is no MD5
    assert stub.requests[-1][2]["x-amz-server-side-encryption"] == "aws:kms"
    assert stub.requests[-1][2]["x-amz-server-side-encryption-aws-kms-key-id"] == "key-7"


def test_tags_of_encrypted_objects_are_no_digests(stub: Stub) -> None:
    """Their kind is asked for once, and then known."""
    headers = {"ETag": '"' + "0" * 32 + '"', "x-amz-server-side-encryption": "aws:kms"}
    stub.answer = lambda method, path: (200, {**headers, "Last-Modified": "Sat, 21 Nov 2026 07:21:04 GMT"}, b"content")
    store = S3Store("s3://bucket/p", stub.options)
    assert [store.get("a"), store.get("b")] == [b"content"] * 2
    assert [method for method, _, _ in stub.requests] == ["GET", "HEAD", "GET"]


def test_anonymous_requests_are_not_signed(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    stub.answer = lambda method, path: (403, {}, error_body("AccessDenied"))
    store = S3Store("s3://bucket/p", StoreOptions(endpoint_url=stub.endpoint, anonymous=True))
    for name in ("get", "list"):
        with pytest.raises(StoreAccessError):
            operations(store)[name]()
    assert all("authorization" not in headers for _, _, headers in stub.requests)
    assert len(stub.requests) == 2


def test_profiles_credential_processes_and_endpoints_are_found_as_boto3_finds_them(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (*SECRETS, "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "keys.json").write_text(
        '{"Version": 1, "AccessKeyId": "AKIDofprocess", "SecretAccessKey": "s", "SessionToken": "t", '
        '"Expiration": "2999-01-01T00:00:00Z"}'
    )
    (tmp_path / "config").write_text(
        f"[profile team]\nregion = eu-west-1\ncredential_process = cat {tmp_path}/keys.json\nservices = local\n"
        f"[services local]\ns3 =\n  endpoint_url = {stub.endpoint}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    stub.answer = lambda method, path: (404, {}, error_body("NoSuchKey"))
    store = S3Store("s3://bucket/p", StoreOptions(profile="team"))
    for name in ("get", "list"):
        with pytest.raises((OSError, PackerError)):
            operations(store)[name]()
    assert [f"{h['authorization']}".split("/")[:3:2] for _, _, h in stub.requests] == [
        ["AWS4-HMAC-SHA256 Credential=AKIDofprocess", "eu-west-1"]
    ] * 2
    with pytest.raises(OptionsError, match="`profile`: .* got 'nobody'"):
        S3Store("s3://bucket/p", StoreOptions(profile="nobody")).get("k")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("https://my-bucket.s3.eu-west-1.amazonaws.com", "true")),
        ({"AWS_ENDPOINT_URL": "http://all:1"}, ("http://all:1", "false")),
        ({"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:2"}, ("http://s3:2", "false")),
        ({"AWS_ENDPOINT_URL": "http://a:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
         ("https://my-bucket.s3.eu-west-1.amazonaws.com", "true")),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, ("https://my-bucket.s3.dualstack.eu-west-1.amazonaws.com", "true")),
    ],
)  # fmt: skip
def test_addresses(stub: Stub, monkeypatch: pytest.MonkeyPatch, variables: dict, expected: tuple[str, str]) -> None:
    for name, value in {"AWS_DEFAULT_REGION": "eu-west-1", **variables}.items():
        monkeypatch.setenv(name, value)
    config = connect("my-bucket", StoreOptions()).objects.config
    assert (config["endpoint"], config["virtual_hosted_style_request"]) == expected


def signed_regions(stub: Stub) -> list[tuple[str, str]]:
    """Return the method of each request and the region that it was signed for."""
    return [(method, headers["authorization"].split("/")[2]) for method, _, headers in stub.requests]


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-south-2"}, "eu-west-1"),
        ({"AWS_REGION": "eu-south-2"}, "eu-south-2"),  # all that some containers of AWS are given
    ],
)
def test_the_region_that_variables_name(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, variables: dict, region: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = connect("my-bucket", StoreOptions()).objects.config
    assert config["endpoint"] == f"https://my-bucket.s3.{region}.amazonaws.com"
    stub.answer = lambda method, path: (404, {}, error_body("NoSuchKey"))
    for name in ("get", "list"):
        with pytest.raises((OSError, PackerError)):
            operations(S3Store("s3://bucket/p", stub.options))[name]()
    assert signed_regions(stub) == [("GET", region)] * 2


@pytest.mark.parametrize("status", [200, 301, 400, 403])
def test_without_any_region_the_bucket_is_asked_for_its_own(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")

    def answer(method: str, path: str) -> Answer:
        told = {"x-amz-bucket-region": "eu-west-1"}
        return (status, told, b"") if method == "HEAD" else (404, {}, error_body("NoSuchKey"))

    stub.answer = answer
    for _ in range(2):
        for name in ("get", "list"):
            with pytest.raises((OSError, PackerError)):
                operations(S3Store("s3://bucket/p", stub.options))[name]()
    assert signed_regions(stub) == [("HEAD", "us-east-1"), *[("GET", "eu-west-1")] * 4]
    told = share_options("s3://bucket/p", stub.options)
    stub.requests.clear()
    disconnect()  # as another process
    for name in ("get", "list"):
        with pytest.raises((OSError, PackerError)):
            operations(S3Store("s3://bucket/p", told))[name]()
    assert signed_regions(stub) == [("GET", "eu-west-1")] * 2


@pytest.mark.parametrize("headers", [{}, {"x-amz-bucket-region": "http://evil/"}])
def test_a_server_that_names_no_region_has_the_usual_one(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, headers: dict
) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    stub.answer = lambda method, path: (404, headers, error_body("NoSuchKey") if method != "HEAD" else b"")
    for name in ("get", "list"):
        with pytest.raises((OSError, PackerError)):
            operations(S3Store("s3://bucket/p", stub.options))[name]()
    assert signed_regions(stub) == [("HEAD", "us-east-1"), *[("GET", "us-east-1")] * 2]


def test_credentials_that_end_while_running(stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*SECRETS, "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    keys, count = tmp_path / "keys.sh", tmp_path / "count"
    # Valid for a moment at the first call, then the sign-in has run out.
    keys.write_text(
        f'test -e {count} && echo SECRETdeadbeefcafe >&2 && exit 1; touch {count}; echo \'{{"Version": 1, '
        f'"AccessKeyId": "AKID", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "\'$(date -u -d "+2 sec" '
        f"+%Y-%m-%dT%H:%M:%SZ)'\"}}'"
    )
    (tmp_path / "config").write_text(f"[default]\ncredential_process = sh {keys}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(StoreAccessError, match="credentials could not be had: sign in again") as error:
        S3Store("s3://bucket/p", stub.options).get("k")
    assert "deadbeef" not in "".join(traceback.format_exception(error.value))


def test_missing_credentials(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreAccessError, match="no AWS credentials were found: .*`profile`.*`anonymous=True`"):
        S3Store("s3://bucket/p", stub.options).get("k")
    assert stub.requests == []


def deletion(*errors: tuple[str, str]) -> Answer:
    each = "".join(f"<Error><Key>p/{key}</Key><Code>{code}</Code></Error>" for key, code in errors)
    return 200, {}, f"<?xml version='1.0'?><DeleteResult>{each}</DeleteResult>".encode()


def test_objects_that_cannot_be_deleted_are_told_apart(stub: Stub) -> None:
    """What passes is asked for again; what does not is told, once the others are gone."""
    answers = [deletion(("b", "InternalError"), ("c", "AccessDenied"), ("d", "SlowDown"), ("e", "Odd"))]
    answers += [deletion(("d", "InternalError")), deletion()]
    stub.answer = lambda method, path: answers.pop(0)
    with pytest.raises(StoreAccessError, match=r"^s3://bucket/p/c: may not delete it.*; 1 more objects could not be"):
        S3Store("s3://bucket/p", stub.options).delete_all("abcde")
    assert [int(headers["content-length"]) for _, _, headers in stub.requests] == sorted(
        [int(headers["content-length"]) for _, _, headers in stub.requests], reverse=True
    )
    assert len(stub.requests) == 3
    stub.answer = lambda method, path: deletion(("b", "SlowDown"))
    with pytest.raises(StoreError, match=r"s3://bucket/p/b: cannot delete it: status 400 SlowDown; tried \d+ times"):
        S3Store("s3://bucket/p", stub.options).delete_all("ab")


@pytest.mark.parametrize("action", ["list", "delete-all"])
@pytest.mark.parametrize("body", [b"", b"<?xml version='1.0'?><DeleteResult><Err", b"<ListBucketResult><Cont"])
def test_answers_that_are_cut_are_asked_for_again(stub: Stub, action: str, body: bytes) -> None:
    stub.answer = lambda method, path: (200, {}, body)
    with pytest.raises(StoreError, match=r"(the answer is cut, or not one of S3|status 500); tried \d+ times"):
        operations(S3Store("s3://bucket/p", stub.options))[action]()


@pytest.mark.parametrize("endpoint", ["real"], indirect=True)
def test_a_real_server_refuses_alike(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for action in operations(S3Store("s3://no-such-bucket-there/p", bucket.options)).values():
        with pytest.raises(StoreError, match="there is no such bucket"):
            action()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["AWS_SECRET_ACCESS_KEY"])
    disconnect()
    for action in operations(S3Store(bucket.uri, bucket.options)).values():
        with pytest.raises(StoreAccessError, match="the secret key does not belong"):
            action()
