"""Finds out whether a client that closed its side of the connection still reads."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.http.connection import Connection
    from tokenfall.http.player import Player

PROBES_S = (0.05, 0.15)
"""After its FIN, a client that is gone answers a write with a reset, and the next write sees that: so long after the
first write come the others, for round trips of any sensible length."""


def probe(connection: "Connection", player: "Player", *, keepalive: bytes, again: tuple[float, ...] = PROBES_S) -> None:
    """Write comments into the player's stream: a client that is gone resets the connection."""
    if not connection.plays(player):
        return
    if not connection.paused:
        connection.send(keepalive)
    if again:
        reactor = connection.reactor
        reactor.call_at(
            reactor.wheel.now() + again[0], lambda: probe(connection, player, keepalive=keepalive, again=again[1:])
        )


def give_up_soon(connection: "Connection", player: "Player", *, after_s: float) -> None:
    """Nothing can tell whether the client left: end the response `after_s` from now."""
    reactor = connection.reactor
    reactor.call_at(
        reactor.wheel.now() + after_s, lambda: connection.reset("left") if connection.plays(player) else None
    )
