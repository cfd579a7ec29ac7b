"""The caller of a request. Pure data."""


class Caller:
    """`owner` is the fingerprint of the API key, "" if the server requires no key; then `address` is set: an IPv4
    address, or an IPv6 network of 64 bits.
    """

    __slots__ = ("address", "owner")

    def __init__(self, owner: str = "", *, address: str = "") -> None:
        self.owner = owner
        self.address = address

    @property
    def name(self) -> str:
        """The key, or else the address."""
        return self.owner or self.address


NOBODY = Caller()
"""The caller of a request that does not come from a client."""
