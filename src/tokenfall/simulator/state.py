"""What all simulated answers of a server share: the default of the grammar, the gates, and how many are under way."""

from __future__ import annotations

from tokenfall.simulator.fault_plan import FaultPlan
from tokenfall.simulator.gates import ConcurrencyLimiter, Gates
from tokenfall.simulator.grammar import Simulation, Spread
from tokenfall.simulator.values import Fault, Load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


GAP = Spread(0.1)
"""Between two tokens where nobody says otherwise."""

DEFAULTS = Simulation(gap=GAP)
"""Where nobody says anything."""

NOTHING = Simulation()


class SimulatorState:
    """`configured` is what the operator wants where nobody says otherwise; it may be changed while the server runs.

    Gates expire by the clock `now`.
    """

    def __init__(self, configured: Simulation = NOTHING, *, now: Callable[[], float] | None = None) -> None:
        self.configured = configured
        self.gates = Gates() if now is None else Gates(now)
        self.limiter = ConcurrencyLimiter()

    @property
    def defaults(self) -> Simulation:
        """What holds where nobody says otherwise."""
        return DEFAULTS.overlay(self.configured)

    def gaps(self, gaps: Iterator[float], load: Load | None) -> Iterator[float]:
        """`gaps` as the load of the moment makes them."""
        if load is None:
            return gaps
        limiter = self.limiter
        return (gap_s * limiter.factor(load) for gap_s in gaps)

    def fault_plan(self, simulation: Simulation, faults: tuple[Fault, ...]) -> FaultPlan | None:
        """What happens to one stream, None for nothing."""
        if not faults and simulation.gate is None and simulation.load is None:
            return None
        permit = self.limiter.permit(simulation.load)
        if simulation.gate is None:
            return FaultPlan(faults, permit=permit)
        gate = self.gates.get(simulation.gate.name)
        return FaultPlan(faults, permit=permit, gate=gate, gate_at=simulation.gate.at)
