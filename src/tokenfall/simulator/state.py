"""State that all simulated responses of a server share: defaults of the grammar, gates, and the number in progress."""

from __future__ import annotations

from tokenfall.callers import NOBODY, Caller
from tokenfall.simulator.concurrency import ConcurrencyLimiters
from tokenfall.simulator.fault_plan import FaultPlan
from tokenfall.simulator.gates import Gates
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.values import Spread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenfall.simulator.values import Fault, Load


GAP = Spread(0.1)
"""Default gap between two tokens."""

DEFAULTS = Simulation(gap=GAP)
"""Built-in defaults."""

UNSET = Simulation()


class SimulatorState:
    """`configured` are the operator's defaults; they may be changed while the server runs.

    Gates expire by the clock `now`.
    """

    def __init__(self, configured: Simulation = UNSET, *, now: Callable[[], float] | None = None) -> None:
        self.configured = configured
        self.gates = Gates() if now is None else Gates(now)
        self.limiter = ConcurrencyLimiters()

    @property
    def defaults(self) -> Simulation:
        """The operator's defaults over the built-in ones."""
        return DEFAULTS.overlay(self.configured)

    def gaps(self, gaps: Iterator[float], load: Load | None, *, caller: Caller = NOBODY) -> Iterator[float]:
        """`gaps`, each multiplied by the load factor of the caller at that moment."""
        if load is None:
            return gaps
        limiter = self.limiter.of(caller.name)
        return (gap_s * limiter.factor(load) for gap_s in gaps)

    def fault_plan(
        self, simulation: Simulation, faults: tuple[Fault, ...], *, caller: Caller = NOBODY
    ) -> FaultPlan | None:
        """The plan of one stream; None without faults, gate and load. Callers do not share queues, nor owners gates."""
        if not faults and simulation.gate is None and simulation.load is None:
            return None
        permit = self.limiter.permit(simulation.load, caller=caller.name)
        if simulation.gate is None:
            return FaultPlan(faults, permit=permit)
        gate = self.gates.get(simulation.gate.name, owner=caller.owner)
        return FaultPlan(faults, permit=permit, gate=gate, gate_at=simulation.gate.at)
