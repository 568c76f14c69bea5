"""A real server on 127.0.0.1, with a certificate made here, that misbehaves on request."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vision.access.addresses import Network

HOST = "media.example"
BODY = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@dataclass
class Site:
    """`paths`: what was asked for; `closing`: set when handlers that hold a connection open should let go."""

    https_port: int = 0
    http_port: int = 0
    trusted: ssl.SSLContext | None = None
    paths: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = HOST) -> str:
        return f"https://{host}:{self.https_port}{path}"

    def network(self, **names: tuple[str, ...]) -> Network:
        """A network in which `media.example` is 127.0.0.1, beside the given names (_ for . in a name)."""
        table = {name.replace("_", "."): addresses for name, addresses in names.items()} | {HOST: ("127.0.0.1",)}

        async def resolver(host: str, port: int) -> tuple[str, ...]:
            if host not in table:
                raise OSError("unknown host")
            return table[host]

        return Network(resolver=resolver, ssl_context=self.trusted)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(HOST), x509.DNSName("second.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return cert_file, key_file


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            site.paths.append(self.path)
            self.close_connection = True
            try:
                self._answer(self.path.partition("?")[0])
            except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                return

        def _head(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def _answer(self, path: str) -> None:
            targets = {
                "/redirect": "/picture",
                "/loop": "/loop",
                "/to-metadata": "https://169.254.169.254/latest/meta-data/",
                "/to-private-name": "https://inside.example/picture",
                "/to-http": f"http://{HOST}:{site.http_port}/picture",
                "/to-file": "file:///etc/passwd",
                "/to-second": f"https://second.example:{site.https_port}/picture",
            }
            if path in targets:
                self._head(302, Location=targets[path], Content_Length="0")
            elif path == "/nowhere":
                self._head(302, Content_Length="0")
            elif path == "/endless":
                self._head(200)
                while not site.closing.is_set():
                    self.wfile.write(bytes(65536))
            elif path == "/slow":
                self._head(200, Content_Length="1000")
                self.wfile.write(b"x")
                self.wfile.flush()
                site.closing.wait()
            elif path == "/huge":
                self._head(200, Content_Length=str(1 << 40))
            elif path == "/short":
                self._head(200, Content_Length="1000")
                self.wfile.write(b"only this")
            elif path == "/gzip":
                self._head(200, Content_Encoding="gzip", Content_Length="4")
                self.wfile.write(b"\x1f\x8b\x08\x00")
            elif path == "/empty":
                self._head(200, Content_Length="0")
            elif path.startswith("/status/"):
                secret = b"internal details"
                self._head(int(path.rpartition("/")[2]), Content_Length=str(len(secret)))
                self.wfile.write(secret)
            else:
                self._head(200, Content_Length=str(len(BODY)))
                self.wfile.write(BODY)

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust the certificate, or hangs up, is what some tests are about."""


@pytest.fixture(scope="session")
def _running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cert, key = _certificate(tmp_path_factory.mktemp("tls"))
    site = Site()
    secure = _Server(("127.0.0.1", 0), _handler(site))
    plain = _Server(("127.0.0.1", 0), _handler(site))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    # The handshake belongs to the handler's thread: a client that breaks it off must not end the accept loop.
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    site.https_port, site.http_port = secure.server_port, plain.server_port
    site.trusted = ssl.create_default_context(cafile=str(cert))
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in (secure, plain)]
    for thread in threads:
        thread.start()
    yield site
    site.closing.set()
    for server, thread in zip((secure, plain), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(_running_site: Site) -> Site:
    _running_site.paths.clear()
    return _running_site
