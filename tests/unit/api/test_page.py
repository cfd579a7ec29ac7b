import gzip
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tokenfall.api import page
from tokenfall.api.page import PAGES, WEB, Page, takes_gzip
from tokenfall.errors import NotFound
from tokenfall.http.response import Response
from tokenfall.simulator.profiles import load_profiles

from tests.doubles.requests import lines_of, request

PAGE = Page()
MOST_BYTES = 70_000
"""Limit of the compressed size of a page with all files that it loads."""

COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*|<!--.*?-->", re.DOTALL)

IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]""")
LOADED_BY_STYLE = re.compile(r"""url\(['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


class Links(HTMLParser):
    """Collects the files that an HTML document loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if value and (name == "src" or (tag == "link" and name == "href"))
        ]


def load_file(path: str, **headers: str) -> Response:
    """The response for a file; underscores in header names become hyphens."""
    return PAGE.serve(request(path, headers={name.replace("_", "-"): value for name, value in headers.items()}))


def removed(source: str, served: str) -> str:
    """The ends of lines that `served` lacks. Each of its lines must be the beginning of one of `source`."""
    lines = list(zip(source.split("\n"), served.split("\n"), strict=True))
    assert [line for line, kept in lines if not line.lstrip().startswith(kept)] == []
    return "\n".join(line.lstrip().removeprefix(kept) for line, kept in lines)


def header(response: Response, name: str) -> str | None:
    """The value of a header, None if absent."""
    found = [line.partition(": ")[2] for line in lines_of(response.head) if line.startswith(f"{name}: ")]
    assert len(found) <= 1, found
    return found[0] if found else None


def headers_of_every_file(name: str) -> dict[tuple[str, str], str | None]:
    """The header `name` of each file, by path and content coding."""
    cases = itertools.product(PAGE.files, ("identity", "gzip"))
    return {(path, coding): header(load_file(path, accept_encoding=coding), name) for path, coding in cases}


def direct_loads(path: str) -> set[str]:
    """Paths that a file loads directly, without inline data."""
    text = load_file(path).body.decode()
    if path in PAGES:
        links = Links()
        links.feed(text)
        found = links.found
    elif path.endswith(".js"):
        found = IMPORTED.findall(text)
    else:
        found = ["".join(each) for each in LOADED_BY_STYLE.findall(text)] if path.endswith(".css") else []
    return {urljoin(path, link) for link in found if not link.startswith("data:")}


def all_loaded(page: str) -> set[str]:
    """A page and every file that it loads directly or indirectly."""
    found, waiting = {page}, [page]
    while waiting:
        new = direct_loads(waiting.pop()) - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize(
    ("path", "location"),
    [("/", "web"), ("/web/", "../web"), ("/board/", "../board"), ("/web/?conversation=a", "../web?conversation=a")],
)
def test_root_and_trailing_slash_redirect_to_the_page_by_a_relative_url(path: str, location: str) -> None:
    response = PAGE.redirect(request(path))

    assert response.status == 307
    assert f"location: {location}" in lines_of(response.head)


@pytest.mark.parametrize("path", PAGE.files)
def test_every_file_is_served_without_its_comments(path: str) -> None:
    source, response = Path(WEB, PAGE.files[path]).read_text(encoding="utf-8"), PAGE.serve(request(path))

    assert response.status == 200
    assert COMMENT.sub("", removed(source, response.body.decode())).strip() == ""
    if not path.endswith(".js"):
        assert COMMENT.sub("", response.body.decode()) == response.body.decode()


@pytest.mark.parametrize(
    ("name", "source", "served"),
    [
        ("a.js", b"a('b'); // it's \"c\"\n  d();", b"a('b');\nd();"),
        ("a.js", b"// it's\na('// b') // c's", b"\na('// b')"),
        ("a.js", b"a(\"it's\", '// b');", b"a(\"it's\", '// b');"),
        ("a.js", b"a('\\'// b');", b"a('\\'// b');"),
        ("a.js", b"a(`${b(`//c`)}`); // d", b"a(`${b(`//c`)}`);"),
        ("a.js", b"a(/'/, '// b'); // c", b"a(/'/, '// b');"),
        ("a.js", b"a /= b; // c\n/* d's\n */\ne();", b"a /= b;\n\n\ne();"),
        ("a.css", b"a { b: c; } /* d's\n */\ne { f: '/*'; }", b"a { b: c; }\n\ne { f: '/*'; }"),
        ("a.html", b"<p>a</p> <!-- b's\n -->\n  <p>//</p>", b"<p>a</p>\n\n<p>//</p>"),
    ],
)
def test_comments_and_indentation_are_removed_and_strings_are_not(name: str, source: bytes, served: bytes) -> None:
    assert page.without_comments(name, source) == served
    assert page.without_comments(name, served) == served  # an image stores the files without comments


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/web", "text/html; charset=utf-8"),
        ("/board", "text/html; charset=utf-8"),
        ("/web/app.js", "text/javascript; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
    ],
)
def test_file_has_its_content_type(path: str, content_type: str) -> None:
    assert f"content-type: {content_type}" in lines_of(PAGE.serve(request(path)).head)


@pytest.mark.parametrize(("page", "script"), [("/web", "/web/app.js"), ("/board", "/web/dashboard.js")])
def test_every_file_that_a_page_loads_is_served(page: str, script: str) -> None:
    found = all_loaded(page)

    assert found - {*PAGE.files} == set()
    assert {page, script, "/web/style.css", "/web/icon.svg", "/web/failures.js", "/web/sse.js"} <= found


def test_every_served_file_is_loaded_by_a_page() -> None:
    assert set().union(*map(all_loaded, PAGES)) == {*PAGE.files}


@pytest.mark.parametrize("page", PAGES)
def test_page_transfer_size_is_limited(page: str) -> None:
    assert sum(len(load_file(path, accept_encoding="gzip").body) for path in all_loaded(page)) < MOST_BYTES


@pytest.mark.parametrize("page", PAGES)
def test_page_uses_relative_urls(page: str) -> None:
    links = Links()
    links.feed(load_file(page).body.decode())

    assert links.found
    assert [link for link in links.found if not link.startswith("web/")] == []


def test_csp_of_every_file_allows_only_this_origin() -> None:
    needed = {"default-src 'none'", "script-src 'self'"}
    policies = headers_of_every_file("content-security-policy")
    others = {
        case: policy
        for case, policy in policies.items()
        if policy is None or not needed <= set(policy.split("; ")) or "unsafe" in policy
    }

    assert not others, others


@pytest.mark.parametrize(("coding", "end"), [("identity", ""), ("gzip", "-gzip")])
@pytest.mark.parametrize("path", PAGE.files)
def test_matching_etag_is_304(path: str, coding: str, end: str) -> None:
    tag = header(load_file(path, accept_encoding=coding), "etag")
    assert tag is not None
    assert re.fullmatch(f'"[0-9a-f]{{20}}{end}"', tag)
    for known in (tag, f'"x", {tag}', f"W/{tag}"):
        again = load_file(path, accept_encoding=coding, if_none_match=known)
        assert (again.status, again.body) == (304, b"")
        assert (header(again, "etag"), header(again, "vary")) == (tag, "accept-encoding")
        assert header(again, "content-encoding") is None

    for other in ('"x"', tag[1:-1], f'"{tag[2:]}'):
        assert load_file(path, accept_encoding=coding, if_none_match=other).status == 200


@pytest.mark.parametrize(("known", "accepted"), [("gzip", "identity"), ("identity", "gzip")])
def test_etag_of_the_other_coding_is_not_304(known: str, accepted: str) -> None:
    tag = header(load_file("/board", accept_encoding=known), "etag") or ""
    again = load_file("/board", accept_encoding=accepted, if_none_match=tag)

    assert again.status == 200
    assert again.body == load_file("/board", accept_encoding=accepted).body


def test_each_file_and_coding_has_its_own_etag() -> None:
    tags = {header(load_file(path, accept_encoding=coding), "etag") for path in PAGE.files for coding in ("", "gzip")}

    assert len(tags) == 2 * len(PAGE.files)


def test_nothing_outside_the_folder_is_served() -> None:
    assert all(re.fullmatch(r"/web/[a-z_]+\.(js|css|svg)", path) for path in PAGE.files.keys() - PAGES)
    assert {*PAGE.files.values()} == {file.name for file in Path(WEB).iterdir()}


@pytest.mark.parametrize(
    "path", ["/web/nothing.js", "/web/index.html", "/web/", "/web/..", "/web/../__init__.py", "/x"]
)
def test_unknown_file_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        PAGE.serve(request(path))


@pytest.mark.parametrize("path", [path for path in PAGE.files if path.endswith(".css")])
def test_colours_do_not_use_prefers_color_scheme(path: str) -> None:
    assert b"prefers-color-scheme" not in load_file(path).body, "use light-dark(), which follows the selected theme"


def test_offered_profiles_exist() -> None:
    listed = re.search(rb"PROFILES = \[([^\]]*)\]", load_file("/web/model_picker.js").body)
    assert listed is not None
    offered = re.findall(r"'([^']+)'", listed[1].decode())

    assert offered
    assert set(offered) <= load_profiles().keys()


# Compression


@pytest.mark.parametrize("path", PAGE.files)
def test_gzip_response_is_smaller_with_the_same_content(path: str) -> None:
    plain, packed = load_file(path), load_file(path, accept_encoding="gzip, deflate, br")

    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert (header(plain, "content-encoding"), header(packed, "content-encoding")) == (None, "gzip")
    assert header(packed, "content-length") == str(len(packed.body))
    assert header(packed, "content-type") == header(plain, "content-type")


def test_compression_is_cached_and_deterministic() -> None:
    first, second = (load_file("/board", accept_encoding="gzip") for _ in range(2))
    assert first is second

    assert Page().serve(request("/board", headers={"accept-encoding": "gzip"})).body == first.body


def test_vary_header_of_every_file_has_accept_encoding() -> None:
    others = {case: vary for case, vary in headers_of_every_file("vary").items() if vary != "accept-encoding"}

    assert not others, others


GZIP = ("gzip", "GZip", "x-gzip", "br, gzip", "deflate,gzip;q=0.5", "gzip;q=1.0", "gzip ; q=0.001", "*;q=0, gzip")
NO_GZIP = (
    "",
    "*",
    "identity",
    "br",
    "gzip;q=0",
    "gzip; q=0",
    "gzip;Q=0.0",
    "gzip;q=0.000",
    "gzipped",
    "br;gzip",
    "not gzip",
)


def test_gzip_is_sent_only_on_request() -> None:
    assert [accepted for accepted in GZIP + NO_GZIP if takes_gzip(accepted)] == [*GZIP]


def test_precompressed_file_gives_the_same_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stream.js", "style.css"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((Path(WEB) / name).read_bytes()))
    monkeypatch.setattr(page, "WEB", str(tmp_path))
    stored = Page()

    assert {path for path in stored.files if path.startswith("/web/")} == {"/web/stream.js", "/web/style.css"}
    for path in ("/web/stream.js", "/web/style.css"):
        response = stored.serve(request(path))
        assert (response.body, header(response, "etag")) == (
            load_file(path).body,
            header(load_file(path), "etag"),
        )
