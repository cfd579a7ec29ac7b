"""The pages behind a real nginx, under a path of another site."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import Pages
from tests.browser.steps import (
    ask,
    call,
    complete_turn,
    contents,
    draft,
    expect_text,
    gate,
    last_response,
    press,
    status,
    texts,
    wait_until_ended,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess
from tests.reliability import nginx
from tests.reliability.nginx import Nginx

PREFIX = "/some/where/"
HELD = "text=echo,gap=1ms,gate=hold@2"
ECHO = "text=echo,gap=1ms"

Mount = Callable[[ServerProcess], str]


@pytest.fixture
def web() -> None:
    """The single files, because their URLs are relative."""


@pytest.fixture
def mount(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    """Starts nginx with deploy/nginx.conf, changed to a path, for a server: `root = mount(server)`, which ends with /.

    Must be requested before `open_page`, to end after the pages.
    """
    text = nginx.CONFIGURATION.read_text(encoding="utf-8")
    text, locations = re.subn(r"location / \{", f"location {PREFIX} {{", text)
    text, passed = re.subn(r"proxy_pass http://tokenfall;", "proxy_pass http://tokenfall/;", text)
    assert (locations, passed) == (1, 1), "the configuration is no longer what this knows"
    folder = tmp_path / "nginx"
    folder.mkdir()
    under = tmp_path / "under.conf"
    under.write_text(text, encoding="utf-8")
    monkeypatch.setattr(nginx, "CONFIGURATION", under)
    started: list[Nginx] = []

    def start(server: ServerProcess) -> str:
        started.append(Nginx(folder, [server.port]))
        return f"http://127.0.0.1:{started[-1].port}{PREFIX}"

    yield start
    for each in started:
        each.stop()


def requests_outside(page: Page, root: str) -> list[str]:
    """The requests of the page outside its path, from now on."""
    outside: list[str] = []

    def note(url: str) -> None:
        if not url.startswith((root, "blob:")):
            outside.append(url)

    page.on("request", lambda request: note(request.url))
    return outside


def test_root_redirects_to_the_page(mount: Mount, open_page: Pages, serve: Serve) -> None:
    root = mount(serve(SIM=ECHO))
    page = open_page(root, "")
    expect(page).to_have_url(re.compile(f"^{root}web\\?conversation=chat-"))
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator(".brand img")).not_to_have_js_property("naturalWidth", 0)
    page.goto(root.rstrip("/"))
    expect(page).to_have_url(re.compile(f"^{root}web\\?conversation=chat-"))
    page.goto(f"{root}web/?conversation=default")
    expect(page).to_have_url(f"{root}web?conversation=default")


def test_response_streams_survives_a_reload_and_stops(mount: Mount, open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    root = mount(server)
    page = open_page(f"{root}web?conversation=default", "")
    outside = requests_outside(page, root)
    ask(page, "one two three four")
    expect_text(page, "one two")  # unbuffered: the rest has not been sent yet
    expect(status(page)).to_have_text("Generating…")
    page.reload()
    expect_text(page, "one two")
    gate(server, "hold", tokens=1)
    expect_text(page, "one two three")
    gate(server, "hold")
    wait_until_ended(page)
    assert texts(page) == contents(server) == ["one two three four"] * 2
    gate(server, "hold", open=False)
    press(page, "Regenerate")
    expect_text(page, "one two")
    page.keyboard.press("Escape")
    wait_until_ended(page, "stopped")
    page.reload()
    wait_until_ended(page, "stopped")
    assert texts(page) == contents(server) == ["one two three four", "one two"]
    assert outside == []


def test_conversations_are_found_named_exported_and_deleted(mount: Mount, open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    root = mount(server)
    page = open_page(f"{root}web?conversation=default", "")
    outside = requests_outside(page, root)
    complete_turn(page, "first")
    page.get_by_role("button", name="New conversation").click()
    complete_turn(page, "second")
    assert page.url.startswith(f"{root}web?conversation=chat-")
    page.locator("#conversations a", has_text="first").click()
    expect_text(page, "first")
    assert page.url == f"{root}web?conversation=default"
    page.go_back()
    expect_text(page, "second")
    page.reload()
    expect_text(page, "second")
    page.locator("#menu summary").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("named")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.locator("#conversations .name")).to_have_text(["named", "first"])
    page.locator("#menu summary").click()
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="Export as JSON").click()
    assert downloaded.value.suggested_filename == "named.json"
    page.locator("#menu summary").click()
    page.locator("#menu").get_by_role("button", name="Delete").click()
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect_text(page, "first")
    assert page.url == f"{root}web?conversation=default"
    assert [each["title"] for each in call(server, "/conversations")[1]] == ["first"]
    with page.context.expect_page() as opened:
        page.locator("#conversations a").click(modifiers=["ControlOrMeta"])
    expect_text(opened.value, "first")
    assert opened.value.url == f"{root}web?conversation=default"
    assert outside == []


def test_key_applies_to_the_page_and_the_dashboard(mount: Mount, open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO, API_KEY="secret")
    root = mount(server)
    open_page.expect("status of 401")
    page = open_page(f"{root}web?conversation=default", "")
    page.get_by_label("Key", exact=True).fill("secret")
    page.get_by_role("button", name="Use this key").click()
    complete_turn(page, "with a key")
    page.reload()
    expect_text(page, "with a key")
    page.get_by_role("link", name="Dashboard").click()
    expect(page).to_have_url(f"{root}board")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_dashboard_shows_events_and_links_back(mount: Mount, open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=HELD)
    root = mount(server)
    page = open_page(f"{root}web?conversation=default", "")
    ask(page, "one two three")
    expect_text(page, "one two")
    page.get_by_role("link", name="Dashboard").click()
    expect(page).to_have_url(f"{root}board")
    outside = requests_outside(page, root)
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    expect(page.locator("#requests")).to_contain_text("/chat")
    page.get_by_role("link", name=re.compile("[Cc]hat")).click()
    expect(page).to_have_url(re.compile(f"^{root}web\\?conversation=chat-"))
    page.goto(f"{root}web?conversation=default")
    expect_text(page, "one two")
    gate(server, "hold")
    wait_until_ended(page)
    expect(last_response(page)).to_have_attribute("data-state", "complete")
    expect(draft(page)).to_have_value("")
    assert outside == []
