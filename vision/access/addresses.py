"""Which network addresses may be reached, and a connection that reaches only those."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from vision.errors import AccessDenied, SourceNotFound

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[tuple[str, ...]]]

# IANA special-purpose registries, spelled out because ipaddress.is_global differs between Python releases.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and a cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, in a public range
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
# Inside 2000::/3 but not hosts of the internet; 2001::/23 holds Teredo, 2002::/16 is 6to4.
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
# Networks without IPv4 reach all of it through this prefix, so what counts is the address inside.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Endpoint:
    """An address that was checked; connecting to it asks no name server again."""

    address: str
    port: int


def is_public(address: IPAddress) -> bool:
    """Whether the address is a host of the public internet: not private, loopback, link-local, multicast, reserved,
    documentation, metadata, nor a form that wraps an IPv4 address (mapped, 6to4, Teredo; NAT64 is unwrapped)."""
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


async def system_resolver(host: str, port: int) -> tuple[str, ...]:
    """The addresses of a name, from the system. Raises OSError or UnicodeError where it has none."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Network:
    """How names are resolved and servers trusted: the system's way, unless an embedder or a test says otherwise."""

    resolver: Resolver = system_resolver
    ssl_context: ssl.SSLContext | None = None


async def checked_endpoints(
    host: str, port: int, allowed_hosts: tuple[str, ...], resolver: Resolver
) -> tuple[Endpoint, ...]:
    """Every address of `host`, all of them allowed. One private address among public ones refuses the name.

    Raises AccessDenied, SourceNotFound.
    """
    try:
        addresses = await resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise SourceNotFound(f"the host {host} is not known", "Check the address and the network.") from error
    if not addresses:
        raise SourceNotFound(f"the host {host} has no address", "Check the address and the network.")
    allowed = {name.lower().strip("[]") for name in allowed_hosts}
    if host.lower().strip("[]") not in allowed:
        for text in addresses:
            if text not in allowed and not _is_public_text(text):
                raise AccessDenied(
                    f"the host {host} leads to a private, local or reserved address",
                    "Save the file locally and give its path, or name the host in INTERNVL_MCP_ALLOWED_HOSTS.",
                )
    return tuple(Endpoint(address, port) for address in addresses)


def _is_public_text(text: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(text))
    except ValueError:
        return False
