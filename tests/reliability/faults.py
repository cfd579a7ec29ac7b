"""The fault catalogue: each fault, the expected behaviour, and the tests that inject it.

docs/reliability.md refers to these ids. `make test` runs the tests of each fault; `make torture` repeats those with a
row in `rows.py` with full counts.
"""

from dataclasses import dataclass

E2E = "tests/end_to_end"
RELIABILITY = "tests/reliability"
UNIT = "tests/unit"


@dataclass(frozen=True)
class Fault:
    """One entry of the catalogue. Tests have the form `file::function` or `file::class::function`."""

    description: str
    expected: str
    tests: tuple[str, ...]
    not_covered: str = ""
    """The part of the fault that no test covers, and why."""


FAULTS = {
    # The HTTP edge
    "E1": Fault(
        "request heads and bodies sent byte by byte; clients that connect and send nothing",
        "an absolute deadline from accept; 408 or a closed connection",
        (
            f"{E2E}/test_deadlines.py::test_slow_head_is_refused_at_its_deadline_from_accept",
            f"{E2E}/test_deadlines.py::test_two_hundred_slow_clients_are_refused_and_others_are_served",
            f"{RELIABILITY}/test_http_edge.py::test_slow_requests_are_refused_at_their_deadline",
            f"{RELIABILITY}/test_http_edge.py::test_slowhttptest_attack_leaves_no_connection_open",
        ),
    ),
    "E2": Fault(
        "clients that stop reading",
        "at most 64 KiB buffered in process and kernel; reset after the stall timeout; p99 of other streams at most "
        "doubled",
        (
            f"{E2E}/test_slow_readers.py::test_bytes_held_for_a_stalled_reader_are_bounded",
            f"{E2E}/test_held_bytes.py::test_memory_for_a_client_that_does_not_read_is_bounded",
            f"{RELIABILITY}/test_http_edge.py::test_stalled_clients_use_little_memory_and_do_not_delay_others",
            f"{RELIABILITY}/test_memory_bounds.py::test_followers_of_large_tokens_that_stop_reading_take_bounded_memory",
        ),
    ),
    "E3": Fault(
        "request targets, heads, bodies, chunks, chunk extensions and trailers over their limits",
        "414, 431 or 413 before anything is buffered",
        (
            f"{E2E}/test_request_limits.py::test_hundred_thousand_chunks_of_one_byte_take_no_memory",
            f"{RELIABILITY}/test_http_edge.py::test_size_limits_are_exact_and_rejected_requests_use_no_memory",
            f"{RELIABILITY}/test_memory_bounds.py::test_reads_of_a_long_conversation_take_bounded_memory",
            f"{RELIABILITY}/test_memory_bounds.py::test_history_memory_bounds_conversations_with_titles",
        ),
    ),
    "E4": Fault(
        "ambiguously framed requests (request smuggling)",
        "400 and a closed connection; never a second response",
        (
            f"{E2E}/test_hostile_requests.py::test_ambiguously_framed_request_is_refused_and_nothing_after_it_is_read",
            f"{RELIABILITY}/test_framing.py::test_no_ambiguous_request_gets_two_responses",
            f"{RELIABILITY}/test_framing.py::test_no_request_behind_nginx_gets_another_clients_response",
            f"{RELIABILITY}/test_framing.py::test_no_request_behind_haproxy_gets_another_clients_response",
        ),
    ),
    "E5": Fault(
        "mutations of valid requests",
        "accepted or rejected as by h11, except for documented differences",
        (
            "tests/differential/test_h11.py::test_mutated_requests_parse_equally",
            f"{RELIABILITY}/test_http_edge.py::test_mutations_are_parsed_as_by_h11",
        ),
    ),
    "E6": Fault(
        "a request split into packets at each byte",
        "the same response as to the unsplit request",
        (
            "tests/differential/test_h11.py::test_every_split_of_a_request_parses_equally",
            f"{RELIABILITY}/test_http_edge.py::test_request_in_two_packets_gets_the_same_response",
        ),
    ),
    "E7": Fault(
        "requests pipelined during a stream",
        "the server stops reading; responses in order; no memory growth",
        (
            f"{E2E}/test_pipelining.py::test_pipelined_requests_are_served_after_the_stream",
            f"{RELIABILITY}/test_http_edge.py::test_requests_pipelined_during_an_endless_stream_are_not_buffered",
        ),
    ),
    "E8": Fault(
        "half-close; FIN or RST at each byte of request and response",
        "finite responses are completed, endless ones stop after a grace period; all resources are released",
        (
            f"{E2E}/test_half_close.py::test_endless_stream_stops_after_the_grace_period",
            f"{E2E}/test_disconnects.py::test_fin_or_reset_at_each_byte_of_a_request_releases_everything",
            f"{RELIABILITY}/test_http_edge.py::test_disconnect_at_any_byte_releases_everything",
        ),
    ),
    "E9": Fault(
        "file descriptors are exhausted",
        "a connection limit below the descriptor limit; 503 or a closed connection; recovery",
        (
            f"{E2E}/test_connection_cap.py::test_more_clients_than_descriptors_are_served_or_refused",
            f"{RELIABILITY}/test_http_edge.py::test_clients_over_the_descriptor_limit_are_refused_and_the_server_recovers",
        ),
    ),
    "E10": Fault(
        "Upgrade, CONNECT, `*`, absolute form, HTTP/0.9, HTTP/2 preface, TLS",
        "4xx or a closed connection; per RFC 9110 and 9112, `OPTIONS *` and the absolute form are served and Upgrade "
        "is ignored",
        (
            f"{E2E}/test_hostile_requests.py::test_unsupported_request_is_4xx_or_5xx_or_closed",
            f"{RELIABILITY}/test_http_edge.py::test_other_protocols_get_an_error_or_a_closed_connection",
        ),
    ),
    "E11": Fault(
        "an exception in any callback of the event loop",
        "at most one connection is closed; the process continues",
        (
            f"{E2E}/test_defects.py::test_failure_after_the_head_closes_only_its_connection",
            f"{RELIABILITY}/test_planted_exceptions.py::test_exception_in_a_callback_closes_at_most_one_connection",
        ),
    ),
    # Input, identity, secrets
    "P1": Fault(
        "JSON with deep nesting, NaN, long numbers, duplicate keys, other encodings, lone surrogates or NUL",
        "400 with an error code, at most 10 ms of CPU time, nothing stored",
        (f"{RELIABILITY}/test_input.py::test_invalid_document_is_refused_quickly_and_not_stored",),
    ),
    "P2": Fault(
        "CR, LF or NUL in reflected headers; model output that contains SSE fields and events",
        "a single frame encoder that rejects line breaks; other SSE parsers decode the same text",
        (
            f"{UNIT}/wire/test_sse.py::test_frame_with_a_line_break_is_refused",
            f"{RELIABILITY}/test_input.py::test_any_text_is_unchanged_by_other_sse_parsers",
        ),
    ),
    "P3": Fault(
        "API keys, prompts and query strings in logs, metrics, tracebacks and process arguments",
        "none appears; control characters are escaped",
        (
            f"{E2E}/test_secrets.py::test_secrets_are_not_in_logs_metrics_or_the_process_list",
            f"{RELIABILITY}/test_canaries.py::test_no_secret_is_written_when_stores_fail",
        ),
    ),
    "L1": Fault(
        "`X-Forwarded-For` from untrusted peers; addresses of one /64; IPv4-mapped IPv6 addresses",
        "the header is ignored; one bucket per /64; the bucket of the IPv4 address",
        (
            f"{E2E}/test_access.py::test_trusted_proxy_may_forward_client_addresses",
            f"{RELIABILITY}/test_input.py::test_trusted_proxy_sets_the_address_and_a_64_is_one_client",
        ),
    ),
    "L2": Fault(
        "requests from very many client addresses",
        "fixed memory; no client can evict its own rate-limit state",
        (
            f"{UNIT}/limits/test_memory.py::test_client_with_used_tokens_is_not_evicted_by_others",
            f"{RELIABILITY}/test_input.py::test_many_addresses_use_fixed_memory_and_do_not_evict_a_client",
        ),
    ),
    "L3": Fault(
        "the rate limiter compared with an exact token bucket",
        "never more than burst + rate x time requests are allowed",
        (
            f"{UNIT}/limits/test_bucket.py::test_limiter_agrees_with_an_exact_token_bucket",
            f"{RELIABILITY}/test_input.py::test_client_never_exceeds_burst_and_rate",
            f"{RELIABILITY}/test_clocks.py::test_limit_is_shared_by_processes_with_different_clocks",
        ),
    ),
    "L4": Fault(
        "Redis is unavailable",
        "a local rate limiter takes over",
        (
            "tests/limits_on_redis/test_outage.py::test_local_limiter_is_used_at_once",
            f"{RELIABILITY}/test_wire_faults.py::test_requests_are_limited_during_network_faults_to_redis",
        ),
    ),
    "B1": Fault(
        "DNS rebinding, cross-origin requests, HTML forms",
        "`Host` and `Origin` are checked on routes that need no API key",
        (
            f"{E2E}/test_access.py::test_private_routes_refuse_other_origins_without_a_key",
            f"{RELIABILITY}/test_input.py::test_cross_origin_requests_to_private_routes_are_403_without_a_key",
        ),
    ),
    "B2": Fault(
        "scripts and markup in model output, in many forms, split across tokens",
        "no script runs and no request goes to another origin, with the CSP on and off",
        (
            "tests/browser/test_injections.py::test_question_and_response_stay_text",
            "tests/browser/test_injection_count.py::test_scripts_and_markup_in_responses_stay_text",
        ),
    ),
    # Upstream and stores
    "U1": Fault(
        "timeouts of the connection, the first token, the next token and the whole response",
        "a distinct error for each, within its timeout",
        (
            f"{E2E}/test_upstream.py::test_upstream_connect_timeout_is_504",
            f"{RELIABILITY}/test_upstream_faults.py::test_each_upstream_timeout_has_its_own_error_in_time",
        ),
    ),
    "U2": Fault(
        "429 with a numeric, date or invalid `Retry-After`; 5xx; 401",
        "bounded retries with jitter before the first byte only; distinct errors for the server's and the caller's key",
        (
            f"{E2E}/test_upstream_retries.py::test_request_is_not_retried_after_a_token",
            f"{RELIABILITY}/test_upstream_faults.py::test_refused_requests_are_retried_as_often_as_allowed",
        ),
    ),
    "U3": Fault(
        "connection reset, end without `[DONE]`, malformed SSE, an error object in a 200 response, long lines, gzip",
        "an error event and no `[DONE]`; size limits; identity encoding only",
        (
            f"{E2E}/test_upstream.py::test_upstream_response_without_its_end_is_an_error_event_and_not_done",
            f"{E2E}/test_upstream_cuts.py::test_chat_truncated_at_any_byte_reports_the_error",
            f"{RELIABILITY}/test_upstream_faults.py::test_broken_upstream_stream_does_not_end_with_done",
        ),
    ),
    "U4": Fault(
        "the client disconnects",
        "the upstream connection is closed within 250 ms; none leaks",
        (
            f"{E2E}/test_upstream.py::test_thousand_client_disconnects_close_the_upstream_connections_within_250_ms",
            f"{RELIABILITY}/test_upstream_faults.py::test_client_disconnect_closes_the_upstream_connection_within_250_ms",
        ),
    ),
    "D1": Fault(
        "SQLite database locked, disk full, EIO",
        "no turn is acknowledged; streams continue; automatic recovery",
        (
            f"{RELIABILITY}/test_sqlite_trouble.py::test_long_database_lock_gives_store_unavailable_and_loses_no_acknowledged_turn",
            f"{RELIABILITY}/test_sqlite_trouble.py::test_full_disk_acknowledges_no_turn_and_recovers_with_space",
            f"{RELIABILITY}/test_io_errors.py::test_no_turn_is_acknowledged_during_io_errors_and_the_server_recovers",
        ),
    ),
    "D2": Fault(
        "SIGKILL at any time; power loss at any write",
        "each acknowledged turn is stored exactly once, in order",
        (
            f"{RELIABILITY}/test_kills.py::test_killed_server_on_sqlite_loses_no_acknowledged_turn",
            f"{RELIABILITY}/test_power_loss.py::test_acknowledged_turns_survive_a_power_loss_at_any_write",
        ),
        not_covered="disks that lose data after a successful fsync",
    ),
    "D3": Fault(
        "Redis down, slow, restarted or failed over; a cancelled command; clock skew",
        "every call has a timeout; no caller gets another's reply; recovery; possible losses are documented",
        (
            "tests/stores/test_redis_history.py::test_cancelled_calls_never_leak_their_reply_to_another_caller",
            f"{RELIABILITY}/test_kills.py::test_killed_redis_keeps_every_acknowledged_turn_once",
            f"{RELIABILITY}/test_wire_faults.py::test_network_faults_mix_up_no_replies_and_lose_no_acknowledged_turn",
            f"{RELIABILITY}/test_failover.py::test_turns_are_stored_again_after_a_redis_failover",
            f"{RELIABILITY}/test_clocks.py::test_turns_are_shared_by_processes_with_different_clocks",
        ),
        not_covered="Redis Cluster and Sentinel, which are not supported",
    ),
    "S1": Fault(
        "SIGTERM with 500 streams",
        "the process exits within the drain timeout + 1 s; all sent text is stored",
        (
            f"{E2E}/test_drain.py::test_drain_finishes_streams_and_refuses_new_requests",
            f"{RELIABILITY}/test_drains.py::test_drain_ends_in_time_and_stores_all_text",
        ),
    ),
}
