"""Client addresses as keys of the rate limiter; evaluates X-Forwarded-For of trusted proxies. Pure.

An IPv6 client is identified by its /64 network, because it usually controls all 2^64 addresses of it. An IPv4-mapped
IPv6 address is treated as IPv4.
"""

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton  # the C module: `socket` imports enum and selectors

_V4_MAPPED = bytes(10) + b"\xff\xff"
_PREFIX_BYTES = 8


def packed(address: str) -> bytes | None:
    """4 or 16 bytes, 4 for IPv4-mapped IPv6; None if `address` is not an IP address. An IPv6 zone is dropped."""
    try:
        if ":" not in address:
            return inet_pton(AF_INET, address)
        octets = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return None
    return octets[12:] if octets.startswith(_V4_MAPPED) else octets


MAX_CACHED = 256


class _Buckets(dict[str, str]):
    """The keys of the addresses seen last."""

    def __missing__(self, address: str) -> str:
        if len(self) >= MAX_CACHED:
            self.clear()
        bucket = self[address] = _bucket_of(address)
        return bucket


bucket_of = _Buckets().__getitem__
"""The rate limiter's key of an address: an IPv4 address, an IPv6 /64 network, or "unknown"."""


def _bucket_of(address: str) -> str:
    octets = packed(address)
    if octets is None:
        return "unknown"
    if len(octets) == 4:
        return inet_ntop(AF_INET, octets)
    return inet_ntop(AF_INET6, octets[:_PREFIX_BYTES] + bytes(_PREFIX_BYTES)) + "/64"


class TrustedProxies:
    """The networks, in CIDR notation, whose X-Forwarded-For header is trusted."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = tuple(network(text) for text in networks)

    def client(self, peer: str, forwarded_for: str) -> str:
        """The first address from the right of X-Forwarded-For, starting with `peer`, that is not a trusted proxy.

        Entries to the left of it may be forged and are ignored.
        """
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
    """Parse CIDR notation into address width in bits, right shift, and shifted prefix. Raises ValueError."""
    address, _, length = text.partition("/")
    octets = packed(address)
    if octets is None:
        raise ValueError(text)
    width = 8 * len(octets)
    if length and not (length.isascii() and length.isdigit()):
        raise ValueError(text)
    shift = width - (int(length) if length else width)
    if not 0 <= shift <= width or (width == 32 and ":" in address):  # IPv4 networks must be in IPv4 notation
        raise ValueError(text)
    return width, shift, int.from_bytes(octets, "big") >> shift
