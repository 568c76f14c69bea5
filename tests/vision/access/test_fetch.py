from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

from vision.access.addresses import Network
from vision.access.fetch import parse_target
from vision.access.opened import open_source
from vision.access.policy import AccessPolicy
from vision.errors import (
    AccessDenied,
    InvalidArgument,
    LimitExceeded,
    SourceNotFound,
    SourceUnreadable,
    VisionError,
)

HOST = "media.example"
POLICY = AccessPolicy(roots=(), allowed_hosts=(HOST, "second.example"), max_bytes=1 << 20, fetch_timeout_s=10)


def fetched(url: str, network: Network, policy: AccessPolicy = POLICY) -> tuple[bytes, str, str]:
    async def run() -> tuple[bytes, str, str]:
        with await open_source(url, policy, Path.cwd(), network=network) as opened:
            data = opened.file.read()
            assert (opened.size, opened.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            return data, opened.name, opened.sha256

    return anyio.run(run)


def refused(kind: type[VisionError], url: str, network: Network, policy: AccessPolicy = POLICY) -> VisionError:
    with pytest.raises(kind) as caught:
        fetched(url, network, policy)
    assert caught.value.hint
    assert "internal details" not in caught.value.message + caught.value.hint
    return caught.value


def test_a_picture_arrives_whole_over_verified_tls(site):
    data, name, _ = fetched(site.url("/picture?token=secret"), site.network())
    assert data.startswith(b"\x89PNG") and len(data) == 8 + 256 * 40
    assert name == f"https://{HOST}:{site.https_port}/picture"
    assert site.paths == ["/picture?token=secret"]


def test_a_certificate_that_nobody_vouches_for_is_refused(site):
    network = replace(site.network(), ssl_context=None)
    assert "certificate" in refused(SourceUnreadable, site.url("/picture"), network).message


def test_a_certificate_for_another_name_is_refused(site):
    policy = replace(POLICY, allowed_hosts=("third.example",))
    network = site.network(third_example=("127.0.0.1",))
    assert "certificate" in refused(SourceUnreadable, site.url("/picture", "third.example"), network, policy).message


def test_redirects_are_followed_to_another_name(site):
    data, name, _ = fetched(site.url("/to-second"), site.network(second_example=("127.0.0.1",)))
    assert data.startswith(b"\x89PNG")
    assert site.paths == ["/to-second", "/picture"]
    assert name.startswith(f"https://{HOST}")


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/loop", SourceUnreadable, "redirects"),
        ("/nowhere", SourceUnreadable, "nowhere"),
        ("/to-metadata", AccessDenied, "private"),
        ("/to-private-name", AccessDenied, "private"),
        ("/to-http", AccessDenied, "http://"),
        ("/to-file", AccessDenied, "file:"),
    ],
)
def test_a_redirect_that_leads_astray_is_refused(site, path, kind, said):
    network = site.network(inside_example=("10.0.0.7",), **{"169_254_169_254": ("169.254.169.254",)})
    assert said in refused(kind, site.url(path), network).message


def test_a_redirect_from_https_to_http_is_refused_even_where_http_is_allowed(site):
    policy = replace(POLICY, allow_http=True)
    assert "from https to http" in refused(AccessDenied, site.url("/to-http"), site.network(), policy).message
    assert site.paths == ["/to-http"]


def test_plain_http_needs_to_be_allowed(site):
    url = f"http://{HOST}:{site.http_port}/picture"
    assert "INTERNVL_MCP_ALLOW_HTTP" in refused(AccessDenied, url, site.network()).hint
    assert fetched(url, site.network(), replace(POLICY, allow_http=True))[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("169.254.169.254",), ("fd00:ec2::254",), ("::1",), ("93.184.216.34", "10.1.2.3"), ("::",)],
)
def test_a_name_that_leads_inside_is_refused_before_anything_connects(site, addresses):
    error = refused(AccessDenied, site.url("/picture", "evil.example"), site.network(evil_example=addresses))
    assert "INTERNVL_MCP_ALLOWED_HOSTS" in error.hint
    assert site.paths == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "0", "[::1]"])
def test_every_spelling_of_this_machine_is_refused_by_the_systems_own_resolver(host):
    error = refused(VisionError, f"https://{host}/picture", Network())
    assert isinstance(error, AccessDenied | SourceNotFound)


def test_an_allowed_address_is_reached_under_any_name(site):
    policy = replace(POLICY, allowed_hosts=("127.0.0.1",))
    assert fetched(site.url("/picture"), site.network(), policy)[0].startswith(b"\x89PNG")


def test_the_next_address_is_tried_when_the_first_refuses(site):
    network = site.network()

    async def resolver(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1")

    assert fetched(site.url("/picture"), replace(network, resolver=resolver))[0].startswith(b"\x89PNG")


def test_the_name_is_looked_up_once_a_request(site):
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("127.0.0.1",) if len(asked) == 1 else ("10.0.0.1",)

    fetched(site.url("/picture"), replace(site.network(), resolver=rebinding))
    assert asked == [HOST]


def test_an_endless_body_is_cut_off_at_the_limit(site):
    assert "1048576" in refused(LimitExceeded, site.url("/endless"), site.network()).message


def test_a_body_that_declares_too_much_is_not_read(site):
    refused(LimitExceeded, site.url("/huge"), site.network())


def test_a_body_that_stalls_ends_at_the_time_limit(site):
    error = refused(LimitExceeded, site.url("/slow"), site.network(), replace(POLICY, fetch_timeout_s=0.3))
    assert "0.3 s" in error.message


def test_a_resolver_that_stalls_ends_at_the_time_limit(site):
    async def stalled(host: str, port: int) -> tuple[str, ...]:
        await anyio.sleep_forever()
        return ()

    refused(
        LimitExceeded, site.url("/"), replace(site.network(), resolver=stalled), replace(POLICY, fetch_timeout_s=0.1)
    )


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/short", SourceUnreadable),
        ("/gzip", SourceUnreadable),
        ("/empty", SourceUnreadable),
        ("/status/404", SourceNotFound),
        ("/status/410", SourceNotFound),
        ("/status/403", SourceUnreadable),
        ("/status/500", SourceUnreadable),
        ("/status/206", SourceUnreadable),
    ],
)
def test_an_answer_that_is_no_whole_file_is_an_error_without_its_contents(site, path, kind):
    refused(kind, site.url(path), site.network())


def test_a_host_without_address_is_not_found(site):
    refused(SourceNotFound, site.url("/", "missing.example"), site.network())


def test_a_port_that_nobody_listens_on_is_unreadable(site):
    refused(SourceUnreadable, f"https://{HOST}:1/picture", site.network())


def test_cancelling_ends_a_stalled_transfer(site):
    async def run() -> bool:
        with anyio.move_on_after(0.2) as scope:
            await open_source(site.url("/slow"), POLICY, Path.cwd(), network=site.network())
        return scope.cancelled_caught

    assert anyio.run(run)


parse = partial(parse_target, policy=POLICY)


def test_userinfo_in_a_url_is_refused():
    with pytest.raises(AccessDenied, match="user name"):
        parse("https://user:pw@media.example/")
    with pytest.raises(AccessDenied, match="user name"):
        parse("https://media.example@evil.example/")


@pytest.mark.parametrize(
    "url", ["https:///x", "https://[::1/", "https://h:99999/", "https://" + "a" * 70 + ".example/"]
)
def test_a_malformed_url_is_an_invalid_argument(url):
    with pytest.raises(InvalidArgument):
        parse(url)


def test_a_url_of_a_megabyte_is_an_invalid_argument():
    with pytest.raises(InvalidArgument, match="8192"):
        parse("https://media.example/" + "a" * (1 << 20))


def test_unicode_names_and_paths_are_encoded_and_what_is_encoded_stays():
    target = parse("https://bücher.example/Bilder/größe%20a.png?q=ä")
    assert target.host == "xn--bcher-kva.example"
    assert target.path == "/Bilder/gr%C3%B6%C3%9Fe%20a.png?q=%C3%A4"


def test_a_request_line_cannot_be_broken_into():
    assert parse("https://media.example/a\u2028b c").path == "/a%E2%80%A8b%20c"
