"""Limits of the HTTP server: sizes in bytes, times in seconds."""


class Bounds:
    """All limits of connections. Deadlines are absolute: bytes that arrive do not extend them."""

    header_timeout_s: float = 10.0
    """From accept, or from the first byte of a later request, to the end of the request head."""
    body_timeout_s: float = 30.0
    """From the end of the head to the end of the body."""
    idle_timeout_s: float = 75.0
    """Between two requests of a connection."""
    stall_timeout_s: float = 30.0
    """A connection is reset if the client reads less than `send_buffer_bytes` of the pending data in this time."""
    linger_timeout_s: float = 2.0
    """How long further bytes of a refused client are read and discarded: a close would reset the connection."""
    half_close_grace_s: float = 0.2
    """How long a stream without keepalives continues after a half-close: no write detects whether the client reads."""
    heartbeat_s: float = 15.0
    """Interval of the keepalives that a live stream sends before its first frame."""
    max_head_bytes: int = 16_384
    max_target_bytes: int = 8_192
    max_headers: int = 100
    max_body_bytes: int = 1_048_576
    max_connections: int = 20_000
    pipeline_bytes: int = 16_384
    """Pipelined bytes buffered while a response is in progress; above this, reading pauses."""
    send_buffer_bytes: int = 16_384
    """SO_SNDBUF of a stream: with the default, the kernel buffers 3.9 MB for a client that stops reading."""
    large_body_buffer_bytes: int = 262_144
    """SO_SNDBUF while a complete response larger than `send_buffer_bytes` is sent: with a small buffer, each delayed
    acknowledgement stalls the sender."""

    def __init__(self, **bounds: float) -> None:
        """`bounds` override the defaults by name. Raises TypeError on an unknown name."""
        for name, value in bounds.items():
            if name not in type(self).__annotations__:
                raise TypeError(f"there is no bound {name!r}")
            setattr(self, name, value)
