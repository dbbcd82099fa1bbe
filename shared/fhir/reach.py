"""A session that connects only where it may. The address that a connection is really made to is what counts, not the name (SE-09)."""

from __future__ import annotations

import socket

import aiohttp

from shared.fhir.guard import Reach, is_metadata


class OutOfReach(OSError):
    """The name leads to an address that is neither public nor in the settings; `never`: to one that no setting opens.

    Holds no address: it may become part of a message.
    """

    def __init__(self, *, never: bool = False) -> None:
        super().__init__("the address is out of reach")
        self.never = never


def guarded(reach: Reach) -> aiohttp.ClientSession:
    """A session without cookies and without proxies from the environment. Redirects are each request's own to refuse."""

    def open_socket(info: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not reach.allows(str(address[0])):
            raise OutOfReach(never=is_metadata(str(address[0])))
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(socket_factory=open_socket)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
