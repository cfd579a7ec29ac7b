"""What all simulated answers of a server share: the default of the grammar, the gates, and how many are under way."""

from __future__ import annotations

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.fault_plan import Course
from tokenfall.simulator.gates import Gates, House
from tokenfall.simulator.grammar import Simulation, Spread
from tokenfall.simulator.values import Fault, Load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


GAP = Spread(0.1)
"""Between two tokens where nobody says otherwise."""

DEFAULTS = Simulation(gap=GAP)
"""Where nobody says anything."""

NOTHING = Simulation()


class Stage:
    """`said` is what the operator wants where nobody says otherwise; it may be changed while the server runs."""

    def __init__(self, said: Simulation = NOTHING) -> None:
        self.said = said
        self.gates = Gates()
        self.house = House()

    @property
    def defaults(self) -> Simulation:
        """What holds where nobody says otherwise."""
        return DEFAULTS.overlay(self.said)

    def gaps(self, gaps: Iterator[float], load: Load | None) -> Iterator[float]:
        """`gaps` as the load of the moment makes them."""
        if load is None:
            return gaps
        house = self.house
        return (gap_s * house.factor(load) for gap_s in gaps)

    def course(self, simulation: Simulation, faults: tuple[Fault, ...]) -> Course | None:
        """What happens to one stream, None for nothing. Raises `InvalidRequest` where there are too many gates."""
        if not faults and simulation.gate is None and simulation.load is None:
            return None
        ticket = self.house.ticket(simulation.load)
        if simulation.gate is None:
            return Course(faults, ticket=ticket)
        try:
            gate = self.gates.get(simulation.gate.name)
        except ValueError as error:
            raise InvalidRequest(f"simulator: {error}", param="gate") from None
        return Course(faults, ticket=ticket, gate=gate, gate_at=simulation.gate.at)
