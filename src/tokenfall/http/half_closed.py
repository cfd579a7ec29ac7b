"""Detects whether a client that half-closed its connection still reads. Called by the players."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.connection import Connection
    from tokenfall.http.player import Player

PROBES_S = (0.05, 0.15)
"""Seconds before each further write. If the client closed its socket, its kernel responds to the first write with a
reset, which a later write reports; two delays cover short and long round-trip times."""


def probe(connection: "Connection", player: "Player", *, keepalive: bytes, again: tuple[float, ...] = PROBES_S) -> None:
    """Write keepalives into the player's stream: a client that closed its socket resets the connection."""
    if not connection.is_current(player):
        return
    if not connection.paused:
        connection.send(keepalive)
    if again:
        reactor = connection.reactor
        reactor.call_at(
            reactor.wheel.now() + again[0], lambda: probe(connection, player, keepalive=keepalive, again=again[1:])
        )


def give_up_soon(connection: "Connection", player: "Player", *, after_s: float) -> None:
    """Reset the connection `after_s` from now, for a stream whose format has no keepalive."""
    reactor = connection.reactor
    reactor.call_at(
        reactor.wheel.now() + after_s, lambda: connection.reset("left") if connection.is_current(player) else None
    )
