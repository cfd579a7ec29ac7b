"""What the edge allows: sizes in bytes, times in seconds."""


class Bounds:
    """All limits of connections. Deadlines are absolute from where they begin, not moved by bytes that arrive."""

    header_timeout_s: float = 10.0
    """From accept, or from the first byte of a later request, to the end of the head."""
    body_timeout_s: float = 30.0
    """From the end of the head to the end of the body."""
    idle_timeout_s: float = 75.0
    """Between two requests of a connection."""
    stall_timeout_s: float = 30.0
    """How long a reader may take less than `send_buffer_bytes` of what waits before its connection is reset."""
    linger_timeout_s: float = 2.0
    """How long what a refused client still sends is read away, so that it sees the refusal and no reset."""
    half_close_grace_s: float = 0.2
    """How long an answer goes on after the client closed its side, where nothing can tell whether it left."""
    heartbeat_s: float = 15.0
    """How often a live stream says that it is alive while its first frame is awaited."""
    max_head_bytes: int = 16_384
    max_target_bytes: int = 8_192
    max_headers: int = 100
    max_body_bytes: int = 1_048_576
    max_connections: int = 20_000
    pipeline_bytes: int = 16_384
    """What may wait unread of further requests while one is answered; then reading pauses."""
    send_buffer_bytes: int = 16_384
    """SO_SNDBUF of a stream: a default socket would take 3.9 MB for a reader that stops."""
    whole_buffer_bytes: int = 262_144
    """SO_SNDBUF while a whole response larger than `send_buffer_bytes` is sent: with a small one, each acknowledgement
    that the reader delays stops the sender."""

    def __init__(self, **bounds: float) -> None:
        """`bounds` by their names, in place of what is above. Raises TypeError on an unknown name."""
        for name, value in bounds.items():
            if name not in type(self).__annotations__:
                raise TypeError(f"there is no bound {name!r}")
            setattr(self, name, value)
