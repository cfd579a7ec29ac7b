import pytest

from tokenfall import errors
from tokenfall.errors import RateLimited, TokenfallError, UpstreamError, page_start_not_found, shutting_down

CODES = {
    "TokenfallError": "internal_error",
    "InvalidRequest": "invalid_request",
    "Unauthorized": "unauthorized",
    "OriginNotAllowed": "origin_not_allowed",
    "ConversationChanged": "conversation_changed",
    "ConversationTooLong": "conversation_too_long",
    "NotFound": "not_found",
    "StoreUnavailable": "store_unavailable",
    "TurnStopped": "stopped",
    "TurnInterrupted": "interrupted",
    "DetachedLimit": "detached_limit",
    "TurnLost": "turn_lost",
    "ResumeExpired": "resume_expired",
    "IdempotencyMismatch": "idempotency_mismatch",
    "IdempotencyUnavailable": "idempotency_unavailable",
    "RateLimited": "rate_limited",
    "ResponseMemoryFull": "response_memory_full",
    "UnsupportedCoding": "unsupported_content_coding",
    "RequestMemoryFull": "request_memory_full",
    "ShuttingDown": "shutting_down",
    "SimulatedFailure": "simulated_failure",
    "UpstreamError": "upstream_error",
    "UpstreamUnreachable": "upstream_unreachable",
    "UpstreamUntrusted": "upstream_untrusted",
    "UpstreamFailed": "upstream_failed",
    "UpstreamTimeout": "upstream_timeout",
    "UpstreamConnectTimeout": "upstream_connect_timeout",
    "UpstreamFirstTokenTimeout": "upstream_first_token_timeout",
    "UpstreamNextTokenTimeout": "upstream_next_token_timeout",
    "UpstreamTotalTimeout": "upstream_total_timeout",
    "UpstreamKeyRefused": "upstream_key_refused",
    "UpstreamRateLimited": "upstream_rate_limited",
    "UpstreamRefused": "upstream_refused",
    "UpstreamBroken": "upstream_broken",
    "UpstreamReset": "upstream_reset",
    "UpstreamTruncated": "upstream_truncated",
    "UpstreamMalformed": "upstream_malformed",
    "UpstreamStreamError": "upstream_stream_error",
}
"""Clients depend on these codes."""


def error_classes() -> list[type[TokenfallError]]:
    found = (each for each in vars(errors).values() if isinstance(each, type))
    return [each for each in found if issubclass(each, TokenfallError)]


def test_every_error_keeps_its_code() -> None:
    assert {each.__name__: each.code for each in error_classes()} == CODES


def test_error_codes_are_unique() -> None:
    codes = [each.code for each in error_classes()]

    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", [each for each in error_classes() if each.__name__.startswith("Upstream")])
def test_provider_failures_share_a_base_class(error: type[TokenfallError]) -> None:
    assert issubclass(error, UpstreamError)


def test_error_has_message_and_retry_after() -> None:
    error = RateLimited("too many", retry_after_s=1.5)

    assert (str(error), error.message, error.retry_after_s) == ("too many", "too many", 1.5)
    assert TokenfallError("no idea").retry_after_s is None


def test_shutdown_error_has_a_retry_after() -> None:
    error = shutting_down()

    assert (error.code, error.message) == ("shutting_down", "the server is shutting down")
    assert error.retry_after_s == 5.0


def test_page_after_an_unknown_conversation_is_not_found() -> None:
    error = page_start_not_found()

    assert error.code == "not_found"
    assert error.message.endswith("start at the first page")


@pytest.mark.parametrize("error", error_classes())
def test_error_of_code_returns_the_error_with_that_code(error: type[TokenfallError]) -> None:
    again = errors.error_of_code(error.code, "why")

    assert type(again) is error
    assert again.message == "why"


def test_unknown_code_is_an_internal_error() -> None:
    assert type(errors.error_of_code("teapot", "why")) is TokenfallError
