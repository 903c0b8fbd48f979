"""Which hosts are this machine itself, and nobody else's."""

from __future__ import annotations

from dbos.lazy import ipaddress


def is_loopback(host: str) -> bool:
    """Is this a name or an address by which only this machine is reached?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
