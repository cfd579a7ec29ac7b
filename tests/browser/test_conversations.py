"""Conversations: creating, opening, renaming, deleting, exporting, importing, and changes by other clients."""

import json
import re
import time
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tokenfall.wire.plain.importing import MAX_MESSAGES

from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import (
    DEFAULT,
    alert,
    ask,
    call,
    complete_turn,
    contents,
    draft,
    expect_text,
    gate,
    history,
    last_response,
    press,
    set_sim,
    status,
    streams,
    texts,
    turn_id,
    wait_until_ended,
    wait_until_idle,
)
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

ECHO = "text=echo,gap=1ms"
HELD = "text=echo,gap=1ms,gate=hold@1"
NARROW = (400, 800)
NOT_KEPT = "status of 404"
"""The console's message about a conversation that the server has not stored yet."""

CHANGED = "This conversation was changed elsewhere, or the server lost it. Check it, then try again."
ODD_NAMES = ["עברית ואנגלית", "a <b>bold</b> & “odd” name", "👩‍👩‍👧‍👦 family", "n" * 197, "e\u0301"]
RLO = "\u202e"


def post_turn(server: ServerProcess, text: str, *, conversation: str = DEFAULT, key: str = "", **more: object) -> None:
    """Runs a turn as another client."""
    body = {"messages": [{"role": "user", "content": text}], "conversation": conversation, "stream": False, **more}
    code, found = call(server, "/chat", method="POST", body=body, key=key)
    assert code == 200, found


def listed(page: Page) -> Locator:
    return page.locator("#conversations a")


def names(page: Page) -> Locator:
    return page.locator("#conversations .name")


def shown(page: Page) -> Locator:
    """The list entry of the current conversation."""
    return page.locator("#conversations a[aria-current=page]")


def in_address(page: Page) -> str | None:
    """The conversation in the page's URL."""
    return parse_qs(urlsplit(page.url).query).get("conversation", [None])[0]


def begin(page: Page) -> None:
    page.get_by_role("button", name="New conversation").click()


def titled(page: Page, title: str) -> None:
    expect(page.locator("#title")).to_have_text(title)
    expect(page).to_have_title(f"{title} · Tokenfall")


def choose(page: Page, action: str) -> None:
    """Opens the menu of the current conversation and chooses an action."""
    page.locator("#menu summary").click()
    page.locator("#menu").get_by_role("button", name=action).click()


def rename(page: Page, name: str) -> None:
    choose(page, "Rename")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Name", exact=True).press("Enter")


def delete(page: Page) -> None:
    choose(page, "Delete")
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()


def titles(server: ServerProcess, *, key: str = "") -> list[str]:
    return [each["title"] for each in call(server, "/conversations", key=key)[1]]


@pytest.fixture
def three(serve: Serve) -> ServerProcess:
    """A server with three conversations; `c` is the newest."""
    server = serve(SIM=ECHO)
    for name in "abc":
        post_turn(server, f"in {name}", conversation=name)
    return server


# The list


def test_new_conversation_is_empty_has_a_url_and_is_listed_once_stored(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    expect(page.locator("#no-conversations")).to_be_visible()
    complete_turn(page, "first")
    expect(names(page)).to_have_text(["first"])
    expect(page.locator("#no-conversations")).to_be_hidden()
    begin(page)
    name = in_address(page)
    assert name is not None
    assert re.fullmatch("chat-[0-9a-f]{16}", name)
    expect(page.locator("#title")).to_have_text("New conversation")
    expect(page).to_have_title("Tokenfall")
    expect(page.locator("#rename")).to_have_attribute("hidden", "")
    expect(draft(page)).to_be_focused()
    expect(names(page)).to_have_text(["first"])
    expect(shown(page)).to_have_count(0)
    assert texts(page) == []
    complete_turn(page, "second")
    expect(names(page)).to_have_text(["second", "first"])
    expect(shown(page)).to_have_text(re.compile("^second"))
    assert contents(server, name) == ["second", "second"]
    begin(page)
    assert in_address(page) not in {None, name}


def test_new_conversation_is_listed_during_its_first_response(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=a")
    expect_text(page, "in a")
    set_sim(three, HELD)
    begin(page)
    ask(page, "one two")
    expect_text(page, "one")
    listed(page).filter(has_text="in c").click()
    expect_text(page, "in c")
    gate(three, "hold")
    listed(page).filter(has_text="one two").click()
    expect_text(page, "one two")


def test_conversations_are_listed_by_activity_and_renaming_is_none(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=a")
    expect(names(page)).to_have_text(["in c", "in b", "in a"])
    rename(page, "named")
    expect(names(page)).to_have_text(["in c", "in b", "named"])
    complete_turn(page, "again")
    expect(names(page)).to_have_text(["named", "in c", "in b"])


def test_conversation_is_titled_by_its_first_question_until_renamed(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    page = open_page(server)
    question = "What is\nthe  weather " + "in Paris and everywhere else " * 20
    complete_turn(page, question)
    (kept,) = titles(server)
    expect(names(page)).to_have_text([kept])
    titled(page, " ".join(kept.split()))
    assert " ".join(question.split()).startswith(" ".join(kept.split()).rstrip("… ")[:40])
    complete_turn(page, "And tomorrow?")
    expect(names(page)).to_have_text([kept])


def test_list_shows_and_updates_the_age_of_conversations(open_page: Pages, three: ServerProcess) -> None:
    page = open_page("about:blank", "", locale="en-GB")
    page.clock.install(time=time.time() - 5_000)  # a client clock that is behind the server's
    page.goto(f"http://127.0.0.1:{three.port}/web?conversation=a")
    ages = page.locator(".when")
    expect(ages).to_have_text(["now"] * 3)
    page.clock.run_for(5_150_000)
    expect(ages).to_have_text(["2 minutes ago"] * 3)
    for passed_ms, words in [(7_200_000, "2 hours ago"), (83_000_000, "yesterday")]:
        page.clock.fast_forward(passed_ms)
        expect(ages).to_have_text([words] * 3)


def test_titles_are_texts_and_never_markup(open_page: Pages, three: ServerProcess) -> None:
    for name, title in zip("abc", ["<img src=x onerror=alert(1)>", RLO + "desrever", "**x** [y](//z)"], strict=True):
        call(three, f"/conversations/{name}", method="PATCH", body={"title": title})
    page = open_page(three, "/web?conversation=b")
    expect(names(page)).to_have_text(["**x** [y](//z)", RLO + "desrever", "<img src=x onerror=alert(1)>"])
    expect(page.locator("#conversations img, #conversations strong")).to_have_count(0)
    expect(names(page).nth(1)).to_have_attribute("dir", "auto")
    expect(page.locator(".when").first).to_be_in_viewport()


# Switching


def test_another_conversation_is_shown_with_its_title_and_its_address(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=a")
    for name in ("c", "b", "a"):
        listed(page).filter(has_text=f"in {name}").click()
        expect(shown(page)).to_have_text(re.compile(f"^in {name}"))
        expect_text(page, f"in {name}")
        assert texts(page) == [f"in {name}"] * 2
        assert in_address(page) == name
        titled(page, f"in {name}")
        expect(draft(page)).to_be_focused()


def test_back_and_forward_go_through_the_conversations(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=a")
    for name in ("b", "c"):
        listed(page).filter(has_text=f"in {name}").click()
        expect_text(page, f"in {name}")
    listed(page).filter(has_text="in c").click()  # opening the current conversation adds no history entry
    for step, name in [(page.go_back, "b"), (page.go_back, "a"), (page.go_forward, "b"), (page.go_forward, "c")]:
        step()
        expect_text(page, f"in {name}")
        titled(page, f"in {name}")
        expect(shown(page)).to_have_text(re.compile(f"^in {name}"))
        assert texts(page) == [f"in {name}"] * 2


def test_late_history_of_another_conversation_is_not_shown(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=a")
    expect_text(page, "in a")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/history?*conversation=b", hold, times=1)
    with page.expect_request("**/history?*conversation=b"):
        listed(page).filter(has_text="in b").click()
    listed(page).filter(has_text="in c").click()
    expect_text(page, "in c")
    with page.expect_response("**/history?*conversation=b"):
        held[0].continue_()
    page.evaluate("fetch('history?conversation=b').then((response) => response.text())")  # longer than the page waits
    assert texts(page) == ["in c"] * 2
    titled(page, "in c")


def test_middle_click_or_click_with_control_opens_a_new_tab(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=a")
    expect_text(page, "in a")
    for how in ({"modifiers": ["ControlOrMeta"]}, {"button": "middle"}):
        with page.context.expect_page() as opened:
            listed(page).filter(has_text="in b").click(**how)
        expect_text(opened.value, "in b")
        titled(opened.value, "in b")
        assert (in_address(opened.value), in_address(page)) == ("b", "a")
        assert texts(page) == ["in a"] * 2


def test_conversation_in_the_url_survives_a_reload(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    for _ in range(2):
        expect_text(page, "in b")
        expect(shown(page)).to_have_text(re.compile("^in b"))
        assert texts(page) == ["in b"] * 2
        page.reload()
    begin(page)
    name = in_address(page)
    page.reload()
    expect(page.locator("#empty")).to_have_text("Ask anything to start.")
    assert in_address(page) == name


def test_unknown_conversation_in_the_url_is_empty(open_page: Pages, three: ServerProcess) -> None:
    open_page.expect(NOT_KEPT)
    page = open_page(three, "/web?conversation=never-heard.of:it@all")
    expect(page.locator("#empty")).to_contain_text("This conversation was not found")
    expect(names(page)).to_have_count(3)
    expect(shown(page)).to_have_count(0)
    expect(alert(page)).to_be_empty()
    complete_turn(page, "hello")
    assert contents(three, "never-heard.of:it@all") == ["hello", "hello"]
    expect(shown(page)).to_have_text(re.compile("^hello"))


def test_invalid_conversation_url_is_reported_and_starts_a_new_one(open_page: Pages, three: ServerProcess) -> None:
    page = open_page("about:blank", "")
    for name in ("<script>alert(1)</script>", "x" * 65, "../history", "white space"):
        page.goto(f"http://127.0.0.1:{three.port}/web?conversation={quote(name, safe='')}")
        expect(alert(page)).to_have_text("This link does not name a conversation. A new one was started.")
        assert re.fullmatch("chat-[0-9a-f]{16}", str(in_address(page)))
        expect(names(page)).to_have_count(3)
    listed(page).first.click()
    expect_text(page, "in c")
    expect(alert(page)).to_be_empty()


# Renaming


def test_conversation_can_have_any_name(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    titled(page, "in c")
    for name in ODD_NAMES:
        rename(page, f"  {name} ")  # the white space around it is removed
        titled(page, name)
        expect(status(page)).to_have_text("Renamed")
        expect(names(page)).to_have_text([name, "in b", "in a"])
        assert titles(three) == [name, "in b", "in a"]
        expect(page.locator("#menu summary")).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    titled(page, ODD_NAMES[-1])


def test_blank_name_is_refused_and_a_name_above_the_limit_cannot_be_typed(
    open_page: Pages, three: ServerProcess
) -> None:
    page = open_page(three, "/web?conversation=c")
    titled(page, "in c")
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    dialog, name = page.locator("#rename-dialog"), page.get_by_label("Name", exact=True)
    choose(page, "Rename")
    expect(name).to_be_focused()
    expect(name).to_have_value("in c")
    assert page.evaluate("getSelection().toString()") == "in c"
    for blank in ("", "   "):
        name.fill(blank)
        name.press("Enter")
        expect(dialog).to_be_visible()
        assert name.evaluate("(input) => input.validity.valid") is False
    name.fill("")
    page.keyboard.insert_text("y" * 300)
    assert len(name.input_value()) <= 200
    assert "PATCH" not in methods
    name.press("Enter")
    titled(page, "y" * 200)


def test_unchanged_title_sends_no_request(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    titled(page, "in c")
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    dialog, name = page.locator("#rename-dialog"), page.get_by_label("Name", exact=True)
    for way in ("Escape", "Cancel", "unchanged"):
        choose(page, "Rename")
        expect(name).to_have_value("in c")
        if way == "unchanged":
            name.press("Enter")
        else:
            name.fill("something else")
            dialog.get_by_role("button", name="Cancel").click() if way == "Cancel" else name.press("Escape")
        expect(dialog).to_be_hidden()
        expect(page.locator("#menu summary")).to_be_focused()
        titled(page, "in c")
        assert "PATCH" not in methods, way


def test_deleted_conversation_cannot_be_renamed(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    titled(page, "in c")
    call(three, "/conversations/c", method="DELETE")
    open_page.expect(NOT_KEPT)
    rename(page, "too late")
    expect(alert(page)).to_contain_text("there is no such conversation")


def test_conversation_can_be_renamed_during_a_response(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=c")
    titled(page, "in c")
    set_sim(three, HELD)
    ask(page, "one two")
    expect_text(page, "one")
    rename(page, "named")
    titled(page, "named")
    expect(page.locator("#stop")).to_be_visible()
    gate(three, "hold")
    expect_text(page, "one two")
    wait_until_ended(page)


# Deleting


def test_deletion_needs_a_confirmation(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    dialog = page.locator("#delete-dialog")
    for way in ("Escape", "Cancel", "Enter"):
        choose(page, "Delete")
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        dialog.get_by_role("button", name="Cancel").click() if way == "Cancel" else page.keyboard.press(way)
        expect(dialog).to_be_hidden()
        expect(page.locator("#menu summary")).to_be_focused()
        assert len(titles(three)) == 3, way
    page.reload()
    expect_text(page, "in b")
    assert len(titles(three)) == 3


def test_deletion_does_not_stop_another_conversation(open_page: Pages, three: ServerProcess) -> None:
    open_page.allow("status of 404")  # of a conversation without messages
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    set_sim(three, HELD)
    begin(page)
    ask(page, "one two three")
    expect_text(page, "one")
    new = in_address(page)
    page.go_back()
    expect_text(page, "in b")
    choose(page, "Delete")
    page.go_forward()
    expect_text(page, "one")
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(names(page)).not_to_contain_text(["in b"])
    gate(three, "hold")
    wait_until_ended(page)
    assert contents(three, str(new)) == ["one two three", "one two three"]
    assert sorted(titles(three)) == ["in a", "in c", "one two three"]


def test_after_a_deletion_the_newest_other_conversation_is_shown(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    delete(page)
    expect_text(page, "in c")
    titled(page, "in c")
    expect(names(page)).to_have_text(["in c", "in a"])
    expect(status(page)).to_have_text("Deleted")
    expect(draft(page)).to_be_focused()
    assert titles(three) == ["in c", "in a"]
    assert in_address(page) == "c"


def test_new_conversation_is_shown_after_the_last_is_deleted(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO)
    post_turn(server, "alone")
    page = open_page(server)
    expect_text(page, "alone")
    delete(page)
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#no-conversations")).to_be_visible()
    expect(page.locator("#title")).to_have_text("New conversation")
    expect(draft(page)).to_be_focused()
    assert titles(server) == []
    complete_turn(page, "again")
    assert titles(server) == ["again"]
    assert history(server) == []


def test_conversation_deleted_during_a_response_stays_deleted(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    set_sim(three, HELD)
    ask(page, "one two")
    expect_text(page, "one")
    turn = turn_id(page)
    delete(page)
    expect_text(page, "in c")
    wait_until_idle(page)
    assert streams(three) == 0
    gate(three, "hold")
    assert "shutting_down" not in call(three, f"/chat/turns/{turn}")[1]
    page.reload()
    expect(names(page)).to_have_text(["in c", "in a"])
    assert titles(three) == ["in c", "in a"]
    expect(draft(page)).to_have_value("")


def test_conversation_deleted_elsewhere_counts_as_deleted(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    call(three, "/conversations/b", method="DELETE")
    open_page.expect(NOT_KEPT)
    delete(page)
    expect_text(page, "in c")
    expect(names(page)).to_have_text(["in c", "in a"])
    expect(alert(page)).to_be_empty()


# Export


def exported(page: Page, way: str, to: Path) -> tuple[str, str]:
    """The name and the content of the exported file."""
    with page.expect_download() as downloaded:
        choose(page, f"Export as {way}")
    downloaded.value.save_as(to)
    return downloaded.value.suggested_filename, to.read_text(encoding="utf-8")


def test_exports_have_every_message_and_a_file_name_from_the_title(
    open_page: Pages, three: ServerProcess, tmp_path: Path
) -> None:
    title = "../Grüße: 1/2 \\ *?"
    call(three, "/conversations/b", method="PATCH", body={"title": title})
    post_turn(three, "# Grüße 👋\n\n- one\n- two", conversation="b")
    page = open_page(three, "/web?conversation=b")
    titled(page, title)
    name, text = exported(page, "JSON", tmp_path / "export")
    assert name == "Grüße-1-2.json"
    expect(page.locator("#menu summary")).to_be_focused()
    assert json.loads(text) == {"conversation": "b", "title": title, "messages": history(three, "b")}
    name, text = exported(page, "Markdown", tmp_path / "export")
    assert name == "Grüße-1-2.md"
    model = history(three, "b")[-1]["model"]
    assert text == (
        f"# {title}\n\n**You**\n\n> in b\n\n"
        f"**{model}**\n\nin b\n\n"
        "**You**\n\n> # Grüße 👋\n>\n> - one\n> - two\n\n"
        f"**{model}**\n\n# Grüße 👋\n\n- one\n- two\n"
    )


def test_exports_mark_an_interrupted_response(open_page: Pages, serve: Serve, tmp_path: Path) -> None:
    server = serve(SIM=HELD)
    page = open_page(server)
    ask(page, "one two")
    expect_text(page, "one")
    page.keyboard.press("Escape")
    wait_until_ended(page, "stopped")
    gate(server, "hold")
    complete_turn(page, "whole")
    _, text = exported(page, "JSON", tmp_path / "export")
    assert [each.get("status") for each in json.loads(text)["messages"]] == [None, "interrupted", None, None]
    _, text = exported(page, "Markdown", tmp_path / "export")
    broken, whole = text.split("whole", 1)
    assert broken.count("one\n\n*Stopped.*") == 1
    assert "not complete" not in whole


def test_failed_export_is_reported(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    titled(page, "in b")
    open_page.expect("ERR_FAILED")
    page.route("**/history?*", lambda route: route.abort())
    choose(page, "Export as JSON")
    expect(alert(page)).to_contain_text("The server cannot be reached.")


# Import


def import_file(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import a conversation").click()
    chooser.value.set_files(file)


def test_exported_conversation_is_imported_as_a_new_one(open_page: Pages, three: ServerProcess, tmp_path: Path) -> None:
    post_turn(three, "# Grüße 👋", conversation="b")
    page = open_page(three, "/web?conversation=b")
    titled(page, "in b")
    exported(page, "JSON", tmp_path / "export.json")
    before = history(three, "b")
    delete(page)
    expect_text(page, "in c")
    import_file(page, tmp_path / "export.json")
    titled(page, "in b")
    assert texts(page) == ["in b", "in b", "# Grüße 👋", "Grüße 👋"]
    expect(status(page)).to_have_text("Imported")
    name = str(in_address(page))
    assert re.fullmatch("chat-[0-9a-f]{16}", name)
    ids = {each["turn"] for each in history(three, name)}
    assert [{**each, "turn": ""} for each in history(three, name)] == [{**each, "turn": ""} for each in before]
    assert not ids & {each["turn"] for each in before}
    complete_turn(page, "goes on")


INVALID_FILES = [
    ("no JSON", "not a conversation that was exported"),
    ('{"messages": 3}', "not a conversation that was exported"),
    ('{"messages": [{"role": "assistant", "content": "x"}, {"role": "user", "content": "x"}]}', "was changed"),
    (json.dumps({"messages": [{}] * (MAX_MESSAGES + 1)}), f"At most {MAX_MESSAGES:,} messages"),
    ('{"messages": ["' + "x" * 1_100_000 + '"]}', "too large for the server"),
]
"""Texts, and the reason that the page shows."""


def test_invalid_import_file_is_refused_with_the_reason(open_page: Pages, three: ServerProcess, tmp_path: Path) -> None:
    open_page.allow("status of 4(00|13)")
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    rename(page, "b")
    expect(status(page)).to_have_text("Renamed")
    for text, words in INVALID_FILES:
        (tmp_path / "file.json").write_text(text)
        import_file(page, tmp_path / "file.json")
        expect(alert(page)).to_contain_text(words)
        expect(status(page)).to_have_text("")  # of the earlier request
    assert len(titles(three)) == 3
    expect_text(page, "in b")


def test_import_longer_than_the_server_stores_is_refused_and_adds_nothing(
    open_page: Pages, serve: Serve, tmp_path: Path
) -> None:
    open_page.expect("status of 413")
    server = serve(SIM="text=echo", HISTORY_LIMIT="2")
    page = open_page(server)
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    (tmp_path / "long.json").write_text(json.dumps({"messages": turn * 2}))
    import_file(page, tmp_path / "long.json")
    expect(alert(page)).to_contain_text("too long for this server. It says: the conversation has 4 messages;")
    assert titles(server) == []
    (tmp_path / "short.json").write_text(json.dumps({"messages": turn}))
    import_file(page, tmp_path / "short.json")
    expect(status(page)).to_have_text("Imported")


# Changes by other clients


def test_edit_of_a_turn_changed_elsewhere_is_reported_and_kept(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    post_turn(three, "anew", conversation="b", replaces=history(three, "b")[0]["turn"])
    open_page.expect("status of 409")
    press(page, "Edit", of=0)
    page.get_by_label("Edit your message").fill("my correction")
    page.get_by_role("button", name="Save and send").click()
    expect(alert(page)).to_have_text(CHANGED)
    expect_text(page, "anew")
    assert texts(page) == contents(three, "b") == ["anew", "anew"]
    expect(draft(page)).to_have_value("my correction")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    draft(page).press("Enter")
    expect_text(page, "my correction")
    wait_until_ended(page)
    assert texts(page) == contents(three, "b") == ["anew", "anew", "my correction", "my correction"]


def test_regeneration_of_a_turn_changed_elsewhere_is_reported(open_page: Pages, three: ServerProcess) -> None:
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    post_turn(three, "anew", conversation="b", replaces=history(three, "b")[0]["turn"])
    open_page.expect("status of 409")
    press(page, "Regenerate")
    expect(alert(page)).to_have_text(CHANGED)
    expect_text(page, "anew")
    assert texts(page) == contents(three, "b") == ["anew", "anew"]


# Keys


def with_key(open_page: Pages, server: ServerProcess, key: str) -> Page:
    page = open_page(server)
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-dialog")).to_be_hidden()
    return page


def test_two_keys_see_their_own_conversations_only(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM=ECHO, API_KEY="one,two")
    post_turn(server, "by one", key="one")
    post_turn(server, "by two", key="two", conversation="theirs")
    open_page.expect("status of 401")
    open_page.allow(NOT_KEPT)
    first, second = (with_key(open_page, server, key) for key in ("one", "two"))
    expect(names(first)).to_have_text(["by one"])
    expect(names(second)).to_have_text(["by two"])
    assert texts(first) == ["by one"] * 2
    assert texts(second) == []
    second.goto(f"http://127.0.0.1:{server.port}/web?conversation=theirs")
    expect_text(second, "by two")
    first.goto(second.url)
    expect(first.locator("#empty")).to_be_visible()
    complete_turn(first, "mine")
    assert contents(server, "theirs", key="two") == ["by two"] * 2
    assert contents(server, "theirs", key="one") == ["mine"] * 2
    second.reload()
    expect_text(second, "by two")
    expect(names(second)).to_have_text(["by two"])


# The drawer


@pytest.fixture
def narrow(open_page: Pages, three: ServerProcess) -> Page:
    page = open_page(three, "/web?conversation=a", viewport=NARROW, has_touch=True)
    expect_text(page, "in a")
    return page


def opener(page: Page) -> Locator:
    return page.locator("#sidebar-open")


def is_closed(page: Page) -> None:
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(opener(page)).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#sidebar")).to_have_js_property("inert", True)
    expect(page.locator("#page")).to_have_js_property("inert", False)


def is_open(page: Page) -> None:
    expect(page.locator("#sidebar")).to_be_in_viewport()
    expect(opener(page)).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#sidebar")).to_have_js_property("inert", False)
    expect(page.locator("#page")).to_have_js_property("inert", True)


def test_drawer_takes_the_focus_and_returns_it(narrow: Page, artefact: Artefact) -> None:
    is_closed(narrow)
    opener(narrow).press("Enter")
    is_open(narrow)
    expect(narrow.locator("#new")).to_be_focused()
    narrow.screenshot(path=artefact("drawer.png"))
    narrow.keyboard.press("Escape")
    is_closed(narrow)
    expect(opener(narrow)).to_be_focused()


def test_drawer_closes(narrow: Page) -> None:
    for way in ("Hide", "outside"):
        opener(narrow).tap()
        is_open(narrow)
        if way == "Hide":
            narrow.get_by_role("button", name="Hide").tap()
        else:
            narrow.touchscreen.tap(NARROW[0] - 10, NARROW[1] / 2)
        is_closed(narrow)
        expect(opener(narrow)).to_be_focused()


def test_tap_outside_the_drawer_only_closes_it(narrow: Page) -> None:
    draft(narrow).fill("not to be sent")
    opener(narrow).tap()
    is_open(narrow)
    send = narrow.locator("#send").bounding_box()
    assert send is not None
    narrow.touchscreen.tap(send["x"] + send["width"] - 4, send["y"] + send["height"] / 2)
    is_closed(narrow)
    expect(draft(narrow)).to_have_value("not to be sent")
    assert texts(narrow) == ["in a"] * 2


def test_choice_in_the_drawer_closes_it_and_focuses_the_draft(narrow: Page) -> None:
    opener(narrow).tap()
    listed(narrow).filter(has_text="in b").tap()
    is_closed(narrow)
    expect_text(narrow, "in b")
    expect(draft(narrow)).to_be_focused()
    opener(narrow).tap()
    narrow.locator("#new").tap()
    is_closed(narrow)
    expect(narrow.locator("#empty")).to_be_visible()
    expect(draft(narrow)).to_be_focused()


def test_escape_closes_the_drawer_and_does_not_stop_the_response(narrow: Page, three: ServerProcess) -> None:
    set_sim(three, HELD)
    ask(narrow, "one two")
    expect_text(narrow, "one")
    opener(narrow).tap()
    is_open(narrow)
    narrow.keyboard.press("Escape")
    is_closed(narrow)
    gate(three, "hold")
    expect_text(narrow, "one two")
    wait_until_ended(narrow)


def test_drawer_is_beside_the_page_on_wide_screens(narrow: Page) -> None:
    opener(narrow).tap()
    is_open(narrow)
    narrow.set_viewport_size({"width": 1280, "height": 800})
    expect(opener(narrow)).to_be_hidden()
    expect(narrow.locator("#sidebar")).to_be_in_viewport()
    expect(narrow.locator("#sidebar")).to_have_js_property("inert", False)
    expect(narrow.locator("#page")).to_have_js_property("inert", False)
    narrow.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    is_closed(narrow)
    expect(last_response(narrow)).to_be_visible()


def test_list_and_title_are_complete_while_a_response_is_resumed(open_page: Pages, three: ServerProcess) -> None:
    set_sim(three, HELD)
    page = open_page(three, "/web?conversation=b")
    expect_text(page, "in b")
    ask(page, "one two three")
    expect_text(page, "one")
    page.reload()
    expect_text(page, "one")
    titled(page, "in b")
    expect(names(page)).to_have_count(3)
    expect(page.locator("#rename")).not_to_have_attribute("hidden", "")
    gate(three, "hold")
    wait_until_ended(page)
