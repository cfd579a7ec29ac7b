"""The server behaves as described: schemathesis sends valid and invalid requests and checks the responses."""

from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, settings
from schemathesis import Case as AnyCase
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.grammar import from_pairs, parse

from tests.openapi.conftest import KEY
from tests.openapi.described import SIMS, schema

Case = AnyCase[Any]
OPEN = schema(keyed=False)
KEYED = schema(keyed=True)

few = settings(max_examples=4, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
fewest = settings(few, max_examples=2)
PATIENCE_S = 10.0

RULES_BETWEEN_FIELDS = (
    "/chat",
    "/conversations",
    "/chat/completions",
    "/completions",
    "/responses",
    "/messages",
    "/messages/count_tokens",
    "/embeddings",
    "/api/chat",
    "/api/generate",
    "/api/show",
)


def excluded(case: Case) -> list[CheckFunction]:
    """The checks that cannot hold."""
    checks: list[CheckFunction] = []
    if case.operation.path.endswith(RULES_BETWEEN_FIELDS):
        # A tool's message follows its call, stream_options requires stream, a question is not blank: what is
        # right by the schema may be refused by these rules, with 400.
        checks.append(positive_data_acceptance)
    if case.operation.path == "/sim/gates/{gate}":
        checks.append(positive_data_acceptance)  # 1.0 is an integer to JSON schemas, and none to the server's decoder
    headers: Any = case.headers or {}
    sim = headers.get("X-Sim")
    if (case.query and readable(case.query)) or (sim not in {None, *SIMS} and sent(str(sim))):
        # The schemas of these tests allow short responses only and are narrower than the server's: what they refuse may
        # be valid.
        checks.append(negative_data_rejection)
    return checks


def readable(query: Mapping[str, object]) -> bool:
    """Whether the simulator's grammar takes a query."""
    try:
        from_pairs([(key, str(value)) for key, value in query.items()])
    except InvalidRequest:
        return False
    return True


def sent(sim: str) -> bool:
    """Whether it takes an X-Sim header; white space around a header's value is no part of it (RFC 9110, 5.5)."""
    try:
        parse(sim.strip())
    except InvalidRequest:
        return False
    return True


@OPEN.exclude(path="/board/events").exclude(method="PUT", path="/sim").parametrize()
@few
def test_server_without_keys_matches_its_description(case: Case, open_address: str) -> None:
    case.call_and_validate(base_url=open_address, timeout=PATIENCE_S, excluded_checks=excluded(case))


@KEYED.exclude(path="/board/events").exclude(method="PUT", path="/sim").parametrize()
@fewest
def test_server_with_keys_matches_its_description(case: Case, keyed_address: str) -> None:
    case.call_and_validate(
        base_url=keyed_address,
        timeout=PATIENCE_S,
        headers={"Authorization": f"Bearer {KEY}"},
        excluded_checks=excluded(case),
    )
