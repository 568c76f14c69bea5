"""Whatever a server does, a question ends in time, with one clear error and a hint, and the key shows nowhere."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.scripted_model import NO_MODEL, ScriptedModel
from tests.vision.remote.fake_server import FakeServer, Reply, chunk, model, refuses, says, serving
from vision.call import Call
from vision.chat.types import ImagePart
from vision.engine.answer import Answer
from vision.engine.engine import Engine
from vision.errors import VisionError
from vision.prompts.describe import describe

pytestmark = pytest.mark.anyio
Serve = Callable[..., FakeServer]
KEY = "sk-secret-0123456789"
GARBAGE = b"\xff\x00<garbage>\n" * 950_000
PICTURE = ImagePart(data=b"\x89PNG\r\n\x1a\n")


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every logger says all it can, and none of it holds the key."""
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


def engine(*urls: str, **settings: Any) -> Engine:
    given = {"engine": "remote", "endpoints": urls, "endpoint_key": KEY, **settings}
    return ScriptedModel(choice=NO_MODEL).engine(**given)


async def asked(engine: Engine, within_s: float = 20.0) -> Answer:
    return await engine.ask(Call(within_s), describe([PICTURE], "What is it?", "normal", 12))


async def error_of(engine: Engine, within_s: float = 20.0) -> VisionError:
    with pytest.raises(VisionError) as caught:
        await asked(engine, within_s)
    error = caught.value
    assert error.message and error.hint
    assert KEY not in "".join(traceback.format_exception(error)) + error.hint
    return error


@pytest.mark.parametrize(
    ("reply", "code", "says_"),
    [
        (refuses(500, "device lost"), "model_failed", "device lost"),
        (refuses(400, "temperature is too hot"), "invalid_argument", "too hot"),
        (refuses(404, "The model `x` does not exist."), "engine_unavailable", "does not exist"),
        (refuses(429, "slow down"), "busy", "slow down"),
        (refuses(429, "slow down", retry_after="3600"), "busy", "slow down"),
        (refuses(401, f"bad key {KEY}"), "access_denied", "bad key ***"),
        (Reply(302, headers=((b"location", b"http://elsewhere/"),)), "engine_unavailable", "302"),
        (Reply(body=b'data: {"choices": [{"delta": {"cont\n\n'), "model_failed", "no chat-completions stream"),
        (Reply(body=b'data: {"error": {"message": "' + KEY.encode() + b'"}}\n\n'), "model_failed", "***"),
        (Reply(body=chunk(delta={"content": "half"})), "model_failed", "broke off"),
        (Reply(body=chunk(delta={"content": "half"}), then="cut"), "model_failed", "broke off"),
        (Reply(body=GARBAGE), "model_failed", "no chat-completions stream"),
        (Reply(body=GARBAGE.replace(b"\n", b"")), "model_failed", "no chat-completions stream"),
        (Reply(500, GARBAGE), "model_failed", "HTTP 500"),
    ],
)
async def test_a_question_that_fails_is_one_clear_error(serve: Serve, reply: Reply, code: str, says_: str) -> None:
    server = serve(replies=[reply])
    error = await error_of(engine(server.url))
    assert (error.code, says_ in error.message) == (code, True), error.message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("listing", "code"),
    [
        (Reply(body=GARBAGE), "model_failed"),
        (Reply(body=b'{"data": [{"id": '), "model_failed"),
        (Reply(body=b'{"data": []}'), "invalid_setting"),
        (Reply(404, b"not found"), "engine_unavailable"),
        (Reply(401, b'{"detail": "who are you?"}'), "access_denied"),
        (Reply(503, b"starting"), "model_loading"),
        (Reply(body=b'{"data"', then="cut"), "model_failed"),
    ],
)
async def test_a_server_that_cannot_list_its_models_is_one_clear_error(serve: Serve, listing: Reply, code: str) -> None:
    server = serve(listing=listing)
    assert (await error_of(engine(server.url))).code == code
    assert not server.asked


@pytest.mark.parametrize("listing", [Reply(silent=True), Reply(body=b'{"data"', then="stall")])
async def test_a_server_that_does_not_come_to_the_end_of_its_list_is_given_up(
    serve: Serve, listing: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.remote.server._LOOK_S", 0.2)
    server = serve(listing=listing)
    error = await error_of(engine(server.url))
    assert error.code == "model_failed" and "list its models" in error.message
    assert server.left.wait(5)


async def test_a_connection_that_is_refused_is_engine_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = await error_of(engine(f"http://127.0.0.1:{port}/v1"))
    assert error.code == "engine_unavailable" and str(port) in error.message


async def test_slow_headers_end_with_the_call_and_hang_up(serve: Serve) -> None:
    server = serve(replies=[Reply(silent=True)])
    error = await error_of(engine(server.url), within_s=0.5)
    assert error.code == "limit_exceeded" and "sent nothing" in error.message
    assert server.left.wait(5)


async def test_a_stall_in_mid_stream_gives_what_was_said(serve: Serve) -> None:
    server = serve(replies=[Reply(body=chunk(delta={"content": "It shows a "}), then="stall")])
    answer = await asked(engine(server.url), within_s=0.5)
    assert (answer.text, answer.finish) == ("It shows a", "time") and "ended before the answer did" in answer.notices[0]
    assert server.left.wait(5)


async def test_a_wrong_model_name_is_answered_with_the_right_ones(serve: Serve) -> None:
    server = serve(models=[model("InternVL3-8B"), model("Qwen3-8B")])
    error = await error_of(engine(server.url, endpoint_model="InternVL-9B"))
    assert error.code == "invalid_setting" and "InternVL-9B" in error.message
    assert "InternVL3-8B, Qwen3-8B" in error.hint


async def test_models_of_which_none_is_meant_are_listed(serve: Serve) -> None:
    server = serve(models=[model("llama-4"), model("Qwen3-8B")])
    error = await error_of(engine(server.url))
    assert error.code == "invalid_setting" and "llama-4, Qwen3-8B" in error.hint


async def test_a_wrong_path_is_told_from_a_server_that_is_down(serve: Serve) -> None:
    server = serve()
    error = await error_of(engine(server.url.replace("/v1", "/v2")))
    assert error.code == "engine_unavailable" and "404" in error.message and "/v1" in error.hint


async def test_a_bad_key_is_access_denied_and_not_repeated(serve: Serve) -> None:
    server = serve(key="sk-another")
    error = await error_of(engine(server.url))
    assert error.code == "access_denied" and "***" in error.message and "key" in error.hint


def certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority and was, or will be, good until so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize(("days", "trusted", "says_"), [(-1, True, "expired"), (30, False, "self-signed")])
async def test_a_certificate_that_does_not_hold_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, trusted: bool, says_: str
) -> None:
    files = certificate(tmp_path, days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with serving(FakeServer(), files) as server:
        error = await error_of(engine(server.url))
    assert error.code == "engine_unavailable" and says_ in error.message and "SSL_CERT_FILE" in error.hint
    assert not server.heads


async def test_a_certificate_of_one_s_own_authority_is_trusted_as_the_hint_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = certificate(tmp_path, 30)
    monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
    with serving(FakeServer(key=KEY), files) as server:
        assert (await asked(engine(server.url))).text == "A served answer."


async def test_the_errors_of_a_host_of_ours_keep_their_meaning(serve: Serve) -> None:
    reply = Reply(503, b'{"error": {"code": "out_of_memory", "message": "full", "hint": "Ask for less."}}')
    server = serve(replies=[reply] * 3 + [says("never")])
    assert (await error_of(engine(server.url))).code == "out_of_memory"
    assert len(server.asked) == 3  # with less each time, and not for its 503
