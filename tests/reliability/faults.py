"""The table of faults: what goes wrong or is sent on purpose, what is to happen, and which tests try it.

Rows of docs/reliability.md refer to these ids. `tests` hold a fault in every run of `make test`; the rows of the same
id (`rows.py`) try it in large numbers in `make torture`.
"""

from dataclasses import dataclass

E2E = "tests/end_to_end"
RELIABILITY = "tests/reliability"
UNIT = "tests/unit"


@dataclass(frozen=True)
class Fault:
    """One line of the table. A test is `file::function`, or `file::class::function`."""

    what: str
    expected: str
    tests: tuple[str, ...]
    not_tried: str = ""
    """What of it cannot be tried here, and why."""


FAULTS = {
    # The HTTP edge
    "E1": Fault(
        "heads and bodies byte by byte, silence after connecting",
        "an absolute deadline from accept; 408 or a close",
        (
            f"{E2E}/test_deadlines.py::test_slow_head_is_refused_at_its_deadline_from_accept",
            f"{E2E}/test_deadlines.py::test_two_hundred_slow_clients_are_refused_and_others_are_served",
            f"{RELIABILITY}/test_http_edge.py::test_bytes_sent_one_by_one_are_refused_at_the_deadline",
            f"{RELIABILITY}/test_http_edge.py::test_slowhttptest_holds_no_connection_and_others_are_served",
        ),
    ),
    "E2": Fault(
        "readers that stop",
        "at most 64 KiB in the process and the kernel, a reset after the stall deadline, others' p99 at most doubled",
        (
            f"{E2E}/test_slow_readers.py::test_bytes_held_for_a_stalled_reader_are_bounded",
            f"{E2E}/test_held_bytes.py::test_bytes_held_for_a_stopped_reader_are_bounded",
            f"{RELIABILITY}/test_http_edge.py::test_stalled_clients_take_little_memory_and_do_not_delay_others",
        ),
    ),
    "E3": Fault(
        "targets, heads, bodies, chunks, extensions and trailers that are too long",
        "414, 431 or 413 before anything is kept",
        (
            f"{E2E}/test_request_limits.py::test_hundred_thousand_chunks_of_one_byte_take_no_memory",
            f"{RELIABILITY}/test_http_edge.py::test_each_limit_is_exact_to_the_byte_and_takes_no_memory",
        ),
    ),
    "E4": Fault(
        "requests that two readers could cut differently",
        "400 and a close; never a second response",
        (
            f"{E2E}/test_hostile_requests.py::test_ambiguously_framed_request_is_refused_and_nothing_after_it_is_read",
            f"{RELIABILITY}/test_framing.py::test_no_ambiguous_request_gets_two_responses",
            f"{RELIABILITY}/test_framing.py::test_no_request_behind_nginx_gets_another_clients_response",
            f"{RELIABILITY}/test_framing.py::test_no_request_behind_haproxy_gets_another_clients_response",
        ),
    ),
    "E5": Fault(
        "mutations of valid requests",
        "accepted or refused as h11 does, or for a written reason",
        (
            "tests/differential/test_h11.py::test_mutations_are_read_alike_or_for_a_reason",
            f"{RELIABILITY}/test_http_edge.py::test_mutations_are_read_as_h11_reads_them_or_for_a_reason",
        ),
    ),
    "E6": Fault(
        "every division of a request into packets",
        "the same response",
        (
            "tests/differential/test_h11.py::test_every_split_of_a_request_is_read_alike",
            f"{RELIABILITY}/test_http_edge.py::test_request_in_two_packets_gets_the_same_response",
        ),
    ),
    "E7": Fault(
        "requests pipelined during a stream",
        "reading pauses; responses in order; memory flat",
        (
            f"{E2E}/test_pipelining.py::test_pipelined_requests_are_served_after_the_stream",
            f"{RELIABILITY}/test_http_edge.py::test_requests_during_an_endless_stream_wait_outside",
        ),
    ),
    "E8": Fault(
        "half-close; FIN or RST at each byte of request and response",
        "finite responses end, endless ones stop after a grace period; nothing is left",
        (
            f"{E2E}/test_half_close.py::test_an_endless_stream_stops_after_its_grace",
            f"{E2E}/test_disconnects.py::test_fin_or_reset_at_each_byte_of_a_request_releases_everything",
            f"{RELIABILITY}/test_http_edge.py::test_disconnect_at_any_byte_releases_everything",
        ),
    ),
    "E9": Fault(
        "no more descriptors",
        "a cap below the limit, 503 or a close, recovery",
        (
            f"{E2E}/test_connection_cap.py::test_more_clients_than_descriptors_are_served_or_refused",
            f"{RELIABILITY}/test_http_edge.py::test_more_clients_than_descriptors_are_refused_and_it_recovers",
        ),
    ),
    "E10": Fault(
        "Upgrade, CONNECT, `*`, absolute form, HTTP/0.9, HTTP/2 preface, TLS",
        "4xx or a close; as RFC 9110 and 9112 say, `OPTIONS *` and the absolute form are answered, Upgrade is ignored",
        (
            f"{E2E}/test_hostile_requests.py::test_unsupported_request_is_4xx_or_5xx_or_closed",
            f"{RELIABILITY}/test_http_edge.py::test_other_protocols_get_an_error_or_the_end",
        ),
    ),
    "E11": Fault(
        "an exception in any callback",
        "one connection ends, the process does not",
        (
            f"{E2E}/test_defects.py::test_failure_after_the_head_closes_only_its_connection",
            f"{RELIABILITY}/test_planted_exceptions.py::test_an_exception_in_a_callback_ends_one_connection_at_most",
        ),
    ),
    # Input, identity, secrets
    "P1": Fault(
        "JSON that is too deep, has NaN, long numbers, duplicate keys, other encodings, lone surrogates, NUL",
        "400 with a code, at most 10 ms of processor, nothing stored",
        (f"{RELIABILITY}/test_input.py::test_invalid_document_is_refused_quickly_and_not_stored",),
    ),
    "P2": Fault(
        "CR, LF or NUL in reflected headers; text of a model with lines and events of SSE in it",
        "one place that writes frames and refuses; the same text in other projects' readers",
        (
            f"{UNIT}/wire/test_sse.py::test_frame_with_a_line_break_is_refused",
            f"{RELIABILITY}/test_input.py::test_any_text_is_unchanged_by_other_sse_parsers",
        ),
    ),
    "P3": Fault(
        "keys, prompts and query strings in logs, metrics, tracebacks, process arguments",
        "never; control characters are escaped",
        (
            f"{E2E}/test_secrets.py::test_no_key_prompt_or_query_string_is_in_a_log_a_metric_or_the_process_list",
            f"{RELIABILITY}/test_canaries.py::test_no_secret_is_written_when_stores_fail",
        ),
    ),
    "L1": Fault(
        "`X-Forwarded-For` of strangers; addresses of one /64; IPv4 in IPv6",
        "ignored; one bucket; the bucket of the IPv4 address",
        (
            f"{E2E}/test_access.py::test_trusted_proxy_may_forward_client_addresses",
            f"{RELIABILITY}/test_input.py::test_trusted_proxy_sets_the_address_and_a_64_is_one_client",
        ),
    ),
    "L2": Fault(
        "very many client addresses",
        "fixed memory; nobody can push out their own debt",
        (
            f"{UNIT}/limits/test_memory.py::test_client_with_used_tokens_is_not_evicted_by_others",
            f"{RELIABILITY}/test_input.py::test_many_addresses_take_no_memory_and_do_not_reset_a_client",
        ),
    ),
    "L3": Fault(
        "the rate limiter against an exact bucket",
        "never more than burst + rate x time pass",
        (
            f"{UNIT}/limits/test_bucket.py::test_limiter_agrees_with_an_exact_token_bucket",
            f"{RELIABILITY}/test_input.py::test_no_client_gets_more_than_burst_and_rate",
            f"{RELIABILITY}/test_clocks.py::test_limit_is_shared_by_processes_with_different_clocks",
        ),
    ),
    "L4": Fault(
        "Redis is down",
        "a local limiter takes over",
        (
            "tests/limits_on_redis/test_outage.py::test_the_local_limiter_takes_over_at_once",
            f"{RELIABILITY}/test_wire_faults.py::test_a_client_is_never_unlimited_while_the_wire_to_the_limiter_is_broken",
        ),
    ),
    "B1": Fault(
        "DNS rebinding, other origins, forms",
        "`Host` and `Origin` are checked where no key protects",
        (
            f"{E2E}/test_access.py::test_pages_of_other_sites_may_not_use_private_routes_without_a_key",
            f"{RELIABILITY}/test_input.py::test_pages_of_other_sites_reach_nothing_private_without_a_key",
        ),
    ),
    "B2": Fault(
        "output of a model as script, in many forms, divided over tokens",
        "nothing runs and nothing is requested from elsewhere, with the CSP on and off",
        (
            "tests/browser/test_injections.py::test_question_and_response_stay_text",
            "tests/browser/test_injection_count.py::test_scripts_and_markup_in_responses_stay_text",
        ),
    ),
    # Upstream and stores
    "U1": Fault(
        "connection, first token, next token and total: each too late",
        "an error of its own each, in time",
        (
            f"{E2E}/test_upstream.py::test_a_connection_that_is_not_accepted_is_504",
            f"{RELIABILITY}/test_upstream_faults.py::test_each_delay_of_an_upstream_has_its_own_error_in_time",
        ),
    ),
    "U2": Fault(
        "429 with `Retry-After` as number, date and junk; 5xx; 401",
        "retried before the first byte alone, bounded, with jitter; the key's failure told apart from the caller's",
        (
            f"{E2E}/test_upstream_retries.py::test_request_is_not_retried_after_a_token",
            f"{RELIABILITY}/test_upstream_faults.py::test_refused_requests_are_retried_as_often_as_allowed",
        ),
    ),
    "U3": Fault(
        "reset, end without `[DONE]`, malformed SSE, an error inside a 200, long lines, gzip",
        "an error event and no `[DONE]`; caps; identity encoding",
        (
            f"{E2E}/test_upstream.py::test_upstream_response_without_its_end_is_an_error_event_and_not_done",
            f"{E2E}/test_upstream_cuts.py::test_chat_truncated_at_any_byte_reports_the_error",
            f"{RELIABILITY}/test_upstream_faults.py::test_broken_stream_has_no_final_event",
        ),
    ),
    "U4": Fault(
        "the client leaves",
        "the upstream's connection is closed within 250 ms, and none is left",
        (
            f"{E2E}/test_upstream.py::test_thousand_client_disconnects_close_the_upstream_connections_within_250_ms",
            f"{RELIABILITY}/test_upstream_faults.py::test_disconnect_closes_the_upstream_connection_at_once",
        ),
    ),
    "D1": Fault(
        "SQLite locked, disk full, EIO",
        "nothing is acknowledged, the stream goes on, recovery without help",
        (
            f"{RELIABILITY}/test_sqlite_trouble.py::test_long_database_lock_gives_store_unavailable_and_loses_no_acknowledged_turn",
            f"{RELIABILITY}/test_sqlite_trouble.py::test_full_disk_acknowledges_nothing_and_recovers_with_room",
            f"{RELIABILITY}/test_io_errors.py::test_nothing_is_acknowledged_while_the_disk_fails_and_it_recovers",
        ),
    ),
    "D2": Fault(
        "kill -9 at any moment, loss of power at any write",
        "what was acknowledged is there, once, in order",
        (
            f"{RELIABILITY}/test_kills.py::test_a_server_killed_on_sqlite_loses_nothing_acknowledged",
            f"{RELIABILITY}/test_power_loss.py::test_acknowledged_turns_survive_a_power_loss_at_any_write",
        ),
        not_tried="a disk that loses what it said was synced",
    ),
    "D3": Fault(
        "Redis down, slow, restarted, replaced; a cancelled command; clocks that differ",
        "timeouts on all; never another caller's reply; recovery; what can be lost is documented",
        (
            "tests/stores/test_redis_history.py::test_cancelled_calls_never_give_another_caller_their_reply",
            f"{RELIABILITY}/test_kills.py::test_a_redis_that_is_killed_has_every_acknowledged_turn_once",
            f"{RELIABILITY}/test_wire_faults.py::test_faults_on_the_wire_mix_up_no_replies_and_lose_no_acknowledged_turn",
            f"{RELIABILITY}/test_failover.py::test_turns_are_stored_again_after_a_redis_failover",
            f"{RELIABILITY}/test_clocks.py::test_turns_are_equal_in_processes_with_different_clocks",
        ),
        not_tried="Redis Cluster and Sentinel, which are not supported",
    ),
    "S1": Fault(
        "SIGTERM with 500 streams",
        "the end within the drain time + 1 s; nothing said is lost",
        (
            f"{E2E}/test_drain.py::test_drain_finishes_streams_and_refuses_new_requests",
            f"{RELIABILITY}/test_drains.py::test_drain_ends_in_time_and_stores_all_text",
        ),
    ),
}
