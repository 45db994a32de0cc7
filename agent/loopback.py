"""Requests to an agent on this machine go there, never by the HTTP proxy that the environment may name."""

from __future__ import annotations

import ipaddress
import urllib.parse
import urllib.request


def opener_for(url: str) -> urllib.request.OpenerDirector:
    """Return what opens `url`: straight for a loopback host, as the environment says for any other."""
    host = urllib.parse.urlsplit(url).hostname or ""
    straight = (urllib.request.ProxyHandler({}),) if is_loopback(host) else ()
    return urllib.request.build_opener(*straight)


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine itself (RFC 6761, section 6.3, for names)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        name = host.lower()
        return name == "localhost" or name.endswith(".localhost")
