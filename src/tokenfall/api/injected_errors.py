"""Errors that the simulator is configured to inject: HTTP errors by count and probability, and a simulated rate limit.

Called by the handlers of simulated routes before the response starts.
"""

from __future__ import annotations

from time import time

from tokenfall.errors import NotFound, RateLimited, SimulatedFailure, TokenfallError, Unauthorized
from tokenfall.http.encoding import header_lines
from tokenfall.http.request import Request
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.values import Limit, Status
from tokenfall.wire.api_error import Headers, LimitState, TokenLimitState, no_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


MAX_RULES = 10_000
"""Maximum number of rules that are counted, and of limits."""

MAX_RULES_OF_CALLER = 1_000
"""The same for one caller. Above it the caller's oldest one is forgotten, so that others are not affected."""

MINUTE_S = 60.0


class InjectedErrors:
    """Counts requests per caller and rule, and the use of limits, since the start or the last `reset`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._request_counts: dict[tuple[str, tuple[Status, ...]], int] = {}
        self._spent: dict[tuple[str, Limit], tuple[float, float]] = {}
        """Theoretical arrival times (see `tokenfall.limits.bucket`) of requests and of tokens, by caller and limit."""

    def reset(self) -> None:
        """Reset all counts and limits."""
        self._request_counts.clear()
        self._spent.clear()

    def enforce(
        self,
        request: Request,
        simulation: Simulation,
        *,
        owner: str,
        tokens: int,
        limit_headers: Callable[[LimitState], Headers] = no_headers,
    ) -> None:
        """Raise the configured error for a request of `tokens` tokens, if any.

        `limit_headers` returns the dialect's rate limit headers; they are added to accepted and refused requests.
        """
        self.check(simulation, owner)
        if simulation.limit is not None:
            limit_state, refused = self.spend(simulation.limit, owner, tokens=tokens)
            request.response_headers += header_lines(limit_headers(limit_state))
            if refused is not None:
                raise refused

    def check(self, simulation: Simulation, owner: str) -> None:
        """Count the request, and raise the error of the first matching `status` rule, if any."""
        rules = simulation.status
        if not rules:
            return
        _make_room(self._request_counts, (owner, rules))
        count = self._request_counts[owner, rules] = self._request_counts.get((owner, rules), 0) + 1
        from random import Random  # noqa: PLC0415 - half a MiB, needed only with rules

        random = Random() if simulation.seed is None else Random(f"{simulation.seed} {count}")  # noqa: S311 - not cryptographic
        for rule in rules:
            if (rule.times is None or count <= rule.times) and random.random() < rule.probability:
                raise _error(rule)

    def spend(self, limit: Limit, owner: str, *, tokens: int) -> tuple[LimitState, RateLimited | None]:
        """The state of the limit after a request of `tokens` tokens, and the error if it is refused.

        A refused request does not count towards the limit.
        """
        now_s = self._now()
        _make_room(self._spent, (owner, limit))
        spent = self._spent.setdefault((owner, limit), (0.0, 0.0))
        requests_s = _arrival_after(spent[0], now_s, cost=1, per_minute=limit.requests)
        tokens_s = _arrival_after(spent[1], now_s, cost=tokens, per_minute=limit.tokens)
        wait_s = max(requests_s, tokens_s) - now_s - MINUTE_S
        refused = None
        if wait_s > 1e-9:
            unit = "requests" if requests_s - now_s > MINUTE_S else "tokens"
            short = "RPM" if unit == "requests" else "TPM"
            bound = limit.requests if unit == "requests" else limit.tokens
            refused = RateLimited(
                f"Rate limit reached on {unit} per min ({short}): Limit {bound}. Please try again in {wait_s:.3f}s.",
                retry_after_s=wait_s,
            )
        else:
            spent = self._spent[owner, limit] = requests_s, tokens_s
        return self._limit_state(limit, spent, now_s=now_s), refused

    @staticmethod
    def _limit_state(limit: Limit, spent: tuple[float, float], *, now_s: float) -> LimitState:
        requests_s, tokens_s = spent
        tokens = None
        if limit.tokens is not None:
            remaining, reset_s = _remaining(tokens_s, now_s, per_minute=limit.tokens)
            tokens = TokenLimitState(limit.tokens, remaining, reset_s=reset_s)
        bound = limit.requests or 0
        remaining, reset_s = _remaining(requests_s, now_s, per_minute=bound) if bound else (0, 0.0)
        return LimitState(bound, remaining, reset_s=reset_s, now_s=time(), tokens=tokens)


def _make_room(entries: dict[tuple[str, Any], Any], key: tuple[str, object]) -> None:
    """Forget an old entry if there are too many for a new one with this key: the caller's own, or else any."""
    if key in entries or len(entries) < MAX_RULES_OF_CALLER:
        return
    own = [each for each in entries if each[0] == key[0]]
    if len(own) >= MAX_RULES_OF_CALLER:
        del entries[own[0]]
    elif len(entries) >= MAX_RULES:
        del entries[next(iter(entries))]


def _arrival_after(tat_s: float, now_s: float, *, cost: int, per_minute: int | None) -> float:
    """The theoretical arrival time after a request."""
    return now_s if per_minute is None else max(tat_s, now_s) + cost * MINUTE_S / per_minute


def _remaining(tat_s: float, now_s: float, *, per_minute: int) -> tuple[int, float]:
    """The remaining part of the limit, and the seconds until all of it is available."""
    reset_s = max(0.0, tat_s - now_s)
    return max(0, int((MINUTE_S - reset_s) * per_minute / MINUTE_S + 1e-6)), reset_s


def _error(rule: Status) -> TokenfallError:
    message = f"simulated error {rule.code}, as configured"
    if rule.code == 429:
        return RateLimited(message, retry_after_s=1.0 if rule.retry_after_s is None else rule.retry_after_s)
    if rule.code == 401:
        return Unauthorized(message)
    if rule.code == 404:
        return NotFound(message)
    return SimulatedFailure(message, retry_after_s=rule.retry_after_s, status=rule.code)
