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
    """Return the checks that do not apply to this case."""
    checks: list[CheckFunction] = []
    if case.operation.path.endswith(RULES_BETWEEN_FIELDS):
        # Rules between fields, which the schema cannot express, refuse some valid bodies with 400: a tool message
        # without its call, stream_options without stream, a blank question.
        checks.append(positive_data_acceptance)
    if case.operation.path == "/sim/gates/{gate}":
        checks.append(positive_data_acceptance)  # JSON Schema accepts 1.0 as an integer, the server's decoder does not
    headers: Any = case.headers or {}
    sim = headers.get("X-Sim")
    if (case.query and accepts_query(case.query)) or (sim not in {None, *SIMS} and accepts_header(str(sim))):
        # The schemas of these tests are stricter than the server's, so values outside them may be valid.
        checks.append(negative_data_rejection)
    return checks


def accepts_query(query: Mapping[str, object]) -> bool:
    """Return whether the query is valid simulator grammar."""
    try:
        from_pairs([(key, str(value)) for key, value in query.items()])
    except InvalidRequest:
        return False
    return True


def accepts_header(sim: str) -> bool:
    """Return whether the X-Sim header is valid; surrounding white space does not count (RFC 9110, 5.5)."""
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
