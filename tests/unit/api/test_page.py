import gzip
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
"""What a page may take on its way, all that it loads together and packed."""

IMPORTED = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]""")
LOADED_BY_STYLE = re.compile(r"""url\(['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


class Links(HTMLParser):
    """What a document loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            value for name, value in attrs if value and (name == "src" or (tag == "link" and name == "href"))
        ]


def served(path: str, **headers: str) -> Response:
    """A file, asked for with headers whose underscores are hyphens."""
    return PAGE.serve(request(path, headers={name.replace("_", "-"): value for name, value in headers.items()}))


def without_comments(file: Path) -> bytes:
    """The file without block comments that have lines of their own (their line ends stay) and without line comments."""
    kept, inside = [], False
    for line in file.read_bytes().splitlines(keepends=True):
        begins = inside or (file.suffix in {".js", ".css"} and line.lstrip().startswith(b"/*"))
        inside = begins and b"*/" not in line
        kept.append(b"\n" if begins else without_line_comment(line) if file.suffix == ".js" else line)
    return b"".join(kept)


def without_line_comment(line: bytes) -> bytes:
    code, mark, comment = line.partition(b"// ")
    has_quote = any(quote in comment for quote in (b"'", b'"', b"`"))
    is_comment = mark and (not code or code[-1:].isspace()) and not has_quote
    return code.rstrip(b" \t") + b"\n" if is_comment else line


def header(response: Response, name: str) -> str | None:
    """The one value of a header, None where there is none."""
    found = [line.partition(": ")[2] for line in lines_of(response.head) if line.startswith(f"{name}: ")]
    assert len(found) <= 1, found
    return found[0] if found else None


def loads(path: str) -> set[str]:
    """What a file loads itself, by its path on the server; what comes with the file is left out."""
    text = served(path).body.decode()
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
    """A page and all that it comes to load."""
    found, waiting = {page}, [page]
    while waiting:
        new = loads(waiting.pop()) - found
        found |= new
        waiting += new
    return found


def test_root_redirects_to_the_page_by_a_relative_url() -> None:
    response = PAGE.redirect(request("/"))

    assert response.status == 307
    assert "location: web" in lines_of(response.head)


@pytest.mark.parametrize(
    ("path", "location"),
    [("/web/", "../web"), ("/board/", "../board"), ("/web/?conversation=a", "../web?conversation=a")],
)
def test_page_with_a_trailing_slash_redirects_to_the_page(path: str, location: str) -> None:
    assert f"location: {location}" in lines_of(PAGE.redirect(request(path)).head)


@pytest.mark.parametrize("path", PAGE.files)
def test_every_file_is_served_unchanged_without_its_comments(path: str) -> None:
    response = PAGE.serve(request(path))

    assert response.status == 200
    assert response.body == without_comments(Path(WEB, PAGE.files[path]))


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


@pytest.mark.parametrize(("page", "script"), [("/web", "/web/app.js"), ("/board", "/web/board.js")])
def test_every_file_that_a_page_loads_is_served(page: str, script: str) -> None:
    found = all_loaded(page)

    assert found - {*PAGE.files} == set()
    assert {page, script, "/web/style.css", "/web/icon.svg", "/web/failures.js", "/web/sse.js"} <= found


def test_every_served_file_is_loaded_by_a_page() -> None:
    assert set().union(*map(all_loaded, PAGES)) == {*PAGE.files}


@pytest.mark.parametrize("page", PAGES)
def test_page_transfer_size_is_limited(page: str) -> None:
    assert sum(len(served(path, accept_encoding="gzip").body) for path in all_loaded(page)) < MOST_BYTES


@pytest.mark.parametrize("page", PAGES)
def test_page_uses_relative_urls(page: str) -> None:
    links = Links()
    links.feed(served(page).body.decode())

    assert links.found
    assert [link for link in links.found if not link.startswith("web/")] == []


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("path", PAGE.files)
def test_csp_allows_only_this_origin(path: str, coding: str) -> None:
    policy = header(served(path, accept_encoding=coding), "content-security-policy")

    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(("coding", "end"), [("identity", ""), ("gzip", "-gzip")])
@pytest.mark.parametrize("path", PAGE.files)
def test_matching_etag_is_304(path: str, coding: str, end: str) -> None:
    tag = header(served(path, accept_encoding=coding), "etag")
    assert tag is not None
    assert re.fullmatch(f'"[0-9a-f]{{20}}{end}"', tag)
    for known in (tag, f'"x", {tag}', f"W/{tag}"):
        again = served(path, accept_encoding=coding, if_none_match=known)
        assert (again.status, again.body) == (304, b"")
        assert (header(again, "etag"), header(again, "vary")) == (tag, "accept-encoding")
        assert header(again, "content-encoding") is None

    for other in ('"x"', tag[1:-1], f'"{tag[2:]}'):
        assert served(path, accept_encoding=coding, if_none_match=other).status == 200


@pytest.mark.parametrize(("known", "requested"), [("gzip", "identity"), ("identity", "gzip")])
def test_etag_of_the_other_coding_is_not_304(known: str, requested: str) -> None:
    tag = header(served("/board", accept_encoding=known), "etag") or ""
    again = served("/board", accept_encoding=requested, if_none_match=tag)

    assert again.status == 200
    assert again.body == served("/board", accept_encoding=requested).body


def test_each_file_and_coding_has_its_own_etag() -> None:
    tags = {header(served(path, accept_encoding=coding), "etag") for path in PAGE.files for coding in ("", "gzip")}

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
    assert b"prefers-color-scheme" not in served(path).body, "a chosen theme would not change it: use light-dark()"


def test_offered_profiles_exist() -> None:
    listed = re.search(rb"PROFILES = \[([^\]]*)\]", served("/web/model_picker.js").body)
    assert listed is not None
    offered = re.findall(r"'([^']+)'", listed[1].decode())

    assert offered
    assert set(offered) <= load_profiles().keys()


# Packed


@pytest.mark.parametrize("path", PAGE.files)
def test_gzip_response_is_smaller_with_the_same_content(path: str) -> None:
    plain, packed = served(path), served(path, accept_encoding="gzip, deflate, br")

    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert (header(plain, "content-encoding"), header(packed, "content-encoding")) == (None, "gzip")
    assert header(packed, "content-length") == str(len(packed.body))
    assert header(packed, "content-type") == header(plain, "content-type")


def test_compression_is_cached_and_deterministic() -> None:
    first, second = (served("/board", accept_encoding="gzip") for _ in range(2))
    assert first is second

    assert Page().serve(request("/board", headers={"accept-encoding": "gzip"})).body == first.body


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("path", PAGE.files)
def test_vary_header_has_accept_encoding(path: str, coding: str) -> None:
    assert header(served(path, accept_encoding=coding), "vary") == "accept-encoding"


@pytest.mark.parametrize(
    "accepted",
    ["gzip", "GZip", "x-gzip", "br, gzip", "deflate,gzip;q=0.5", "gzip;q=1.0", "gzip ; q=0.001", "*;q=0, gzip"],
)
def test_gzip_is_sent_on_request(accepted: str) -> None:
    assert takes_gzip(accepted)


@pytest.mark.parametrize(
    "accepted",
    [
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
    ],
)
def test_gzip_is_not_sent_without_a_request(accepted: str) -> None:
    assert not takes_gzip(accepted)


def test_precompressed_file_gives_the_same_response(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stream.js", "style.css"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((Path(WEB) / name).read_bytes()))
    monkeypatch.setattr(page, "WEB", str(tmp_path))
    stored = Page()

    assert {path for path in stored.files if path.startswith("/web/")} == {"/web/stream.js", "/web/style.css"}
    for path in ("/web/stream.js", "/web/style.css"):
        response = stored.serve(request(path))
        assert (response.body, header(response, "etag")) == (served(path).body, header(served(path), "etag"))
