import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tokenfall.api.page import WEB, Page

from tests.doubles.requests import lines_of, request

PAGE = Page()


class Links(HTMLParser):
    """What a document loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if value and (name == "src" or (tag == "link" and name == "href"))
        ]


def test_the_root_leads_to_the_page_by_a_relative_address() -> None:
    response = PAGE.lead(request("/"))

    assert response.status == 307
    assert "location: web" in lines_of(response.head)


@pytest.mark.parametrize("path", PAGE.files)
def test_every_file_is_served_as_it_is(path: str) -> None:
    response = PAGE.serve(request(path))

    assert response.status == 200
    assert response.body == Path(WEB, PAGE.files[path]).read_bytes()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/web", "text/html; charset=utf-8"),
        ("/web/app.js", "text/javascript; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_says_what_it_is(path: str, content_type: str) -> None:
    assert f"content-type: {content_type}" in lines_of(PAGE.serve(request(path)).head)


def test_all_that_the_page_loads_is_served() -> None:
    links = Links()
    links.feed(PAGE.serve(request("/web")).body.decode())

    assert links.found
    assert {f"/{link.removeprefix('/')}" for link in links.found if not link.startswith("data:")} <= set(PAGE.files)


def test_nothing_but_our_own_may_run_or_be_asked() -> None:
    (policy,) = (
        line for line in lines_of(PAGE.serve(request("/web")).head) if line.startswith("content-security-policy")
    )

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_who_has_a_file_is_not_sent_it_again() -> None:
    head = PAGE.serve(request("/web")).head.decode()
    found = re.search('etag: ("[0-9a-f]{20}")', head)
    assert found
    again = PAGE.serve(request("/web", headers={"if-none-match": f'"x", {found[1]}'}))

    assert (again.status, again.body) == (304, b"")
    assert f"etag: {found[1]}" in lines_of(again.head)
    assert PAGE.serve(request("/web", headers={"if-none-match": '"x"'})).status == 200


def test_files_differ_in_their_tags() -> None:
    tags = {re.search(b"etag: (.*)\r\n", PAGE.serve(request(path)).head) for path in PAGE.files}

    assert len({tag[1] for tag in tags if tag}) == len(set(PAGE.files.values()))


def test_nothing_outside_the_folder_is_served() -> None:
    assert all(re.fullmatch(r"/web(/[a-z]+\.(js|css|html|svg))?", path) for path in PAGE.files)
