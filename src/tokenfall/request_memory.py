"""The memory of requests that are being served: requests to the upstream until its first token, and running chats.

It is one memory with the request bodies that are being received (`tokenfall.http.body_memory`).
"""

from tokenfall.errors import RequestMemoryFull
from tokenfall.memory_leases import LeasedMemory


class RequestMemory(LeasedMemory):
    """At most `max_bytes` for all leases and received bodies together.

    Ordinary requests and chats are not counted: a load generator or a gateway, which is one caller, may run thousands.
    """

    uncounted_bytes = 32_768
    full = RequestMemoryFull
    kind = "requests"
    advice = "send less at once, or try again later"
