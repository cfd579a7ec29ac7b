from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.doubles.requests import request


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", b""),
        ("/a/b?c=d?e", "/a/b", b"c=d?e"),
        ("/a?", "/a", b""),
        ("/a%20b%2Fc", "/a b/c", b""),
        ("/%C3%A9", "/é", b""),
        ("/%ff", "/\ufffd", b""),
        ("/%zz", "/%zz", b""),
        ("/a?b=%20", "/a", b"b=%20"),
    ],
)
def test_target_is_split_into_path_and_query(target: str, path: str, query: bytes) -> None:
    incoming = request(target)

    assert (incoming.path, incoming.query_string) == (path, query)


@example("a=1+2%2B%C3%A9")
@example("a=%ff&%61=x")
@given(st.text(st.sampled_from("ab=&%+2;"), max_size=20))
def test_query_decodes_like_urllib(query: str) -> None:
    assert request(f"/?{query}").query() == parse_qsl(query, keep_blank_values=True)


def test_header_is_found_by_lower_case_name() -> None:
    incoming = request(headers={"X-Sim": "gap=1s"})
    incoming.headers[b"high"] = b"\xff"

    assert incoming.header(b"x-sim") == "gap=1s"
    assert incoming.header(b"high") == "\xff"
    assert incoming.header(b"x-none") is None


def test_drop_content_removes_headers_query_and_body() -> None:
    incoming = request("/chat?secret=1", headers={"X-API-Key": "k"}, body=b"prompt")
    incoming.route, incoming.id = "/chat", "r1"
    incoming.drop_content()

    assert (incoming.headers, incoming.body, incoming.query_string) == ({}, b"", b"")
    assert (incoming.path, incoming.id, incoming.method) == ("/chat", "r1", "GET")


def test_drop_content_keeps_a_path_without_a_route() -> None:
    incoming = request("/nowhere?x")
    incoming.drop_content()

    assert incoming.path == "/nowhere"


def test_drop_content_leaves_shared_headers_of_another_request() -> None:
    incoming = request(headers={"accept": "a"})
    twin = incoming.copy_head()
    incoming.drop_content()

    assert twin.headers == {b"accept": b"a"}
