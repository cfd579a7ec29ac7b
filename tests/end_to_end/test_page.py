"""The chat page and its static files."""

import re
from urllib.parse import urljoin

import pytest

from tests.end_to_end.client import Client, fetch, request


async def test_root_redirects_to_the_page_by_a_relative_url(port: int) -> None:
    response = await fetch(port, request("/"))
    assert response.status in {301, 302, 307, 308}
    location = response.headers["location"]
    assert not location.startswith(("/", "http"))
    assert urljoin("https://example.org/prefix/", location) == "https://example.org/prefix/web"


async def test_page_and_its_files_have_a_strict_csp(port: int) -> None:
    async with await Client.connect(port) as client:
        page = await client.fetch(request("/web"))
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        text = page.body.decode()
        named = {name for name in re.findall(r'(?:src|href)="([^"#]+)"', text) if not name.startswith("data:")}
        assert named, "the page does not load its script and stylesheet"
        assert not {name for name in named if name.startswith(("http", "//"))}
        assets = {urljoin("/web", name) for name in named}
        for path in ("/web", *assets):
            response = await client.fetch(request(path))
            assert response.status == 200, path
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["x-content-type-options"] == "nosniff"
        assert "<script>" not in text
        assert not re.search(r"\son\w+=", text), "the markup has inline event handlers"


@pytest.mark.parametrize("path", ["/web", "/web/app.js", "/web/style.css"])
async def test_unchanged_file_is_304(port: int, path: str) -> None:
    async with await Client.connect(port) as client:
        tag = (await client.fetch(request(path))).headers["etag"]
        for known in (tag, f'"other", {tag}', f"W/{tag}"):
            again = await client.fetch(request(path, If_None_Match=known))
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in again.headers
        assert (await client.fetch(request(path, If_None_Match='"other"'))).status == 200


@pytest.mark.parametrize(
    "path", ["/web//", "/web/..%2f__init__.py", "/web/../__init__.py", "/web/nothing.js", "/web//app.js"]
)
async def test_unknown_web_paths_are_404(port: int, path: str) -> None:
    assert (await fetch(port, request(path))).status == 404
