"""Which client a request counts for: its address, seen through trusted proxies, without what it may choose freely.

IPv6 by its /64, since who has one address has the 2^64 of its network; IPv4 mapped into IPv6 as IPv4.
"""

from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

_V4_MAPPED = bytes(10) + b"\xff\xff"
_PREFIX_BYTES = 8


def packed(address: str) -> bytes | None:
    """4 or 16 bytes, IPv4 mapped into IPv6 as 4; None when `address` is none. An IPv6 zone is dropped."""
    try:
        if ":" not in address:
            return inet_pton(AF_INET, address)
        octets = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return None
    return octets[12:] if octets.startswith(_V4_MAPPED) else octets


@lru_cache(maxsize=256)
def bucket_of(address: str) -> str:
    """The name under which an address is limited."""
    octets = packed(address)
    if octets is None:
        return "unknown"
    if len(octets) == 4:
        return inet_ntop(AF_INET, octets)
    return inet_ntop(AF_INET6, octets[:_PREFIX_BYTES] + bytes(_PREFIX_BYTES)) + "/64"


class TrustedProxies:
    """The networks whose X-Forwarded-For is believed, in CIDR form."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = tuple(network(text) for text in networks)

    def client(self, peer: str, forwarded_for: str) -> str:
        """The nearest address that is no trusted proxy, read from the right: only proxies' own words are believed."""
        address = peer
        if not self._networks or not self._trusts(peer):
            return address
        for hop in reversed([hop.strip() for hop in forwarded_for.split(",")]):
            if packed(hop) is None:
                break
            address = hop
            if not self._trusts(hop):
                break
        return address

    def _trusts(self, address: str) -> bool:
        octets = packed(address)
        if octets is None:
            return False
        value, bits = int.from_bytes(octets, "big"), 8 * len(octets)
        return any(bits == width and value >> shift == prefix for width, shift, prefix in self._networks)


def network(text: str) -> tuple[int, int, int]:
    """A network in CIDR form: its width in bits, how far to shift an address, what must be left. Raises ValueError."""
    address, _, length = text.partition("/")
    octets = packed(address)
    if octets is None:
        raise ValueError(text)
    width = 8 * len(octets)
    if length and not (length.isascii() and length.isdigit()):
        raise ValueError(text)
    shift = width - (int(length) if length else width)
    if not 0 <= shift <= width or (width == 32 and ":" in address):  # say IPv4 networks as IPv4
        raise ValueError(text)
    return width, shift, int.from_bytes(octets, "big") >> shift
