"""The dashboard: its figures, plots and tables, a lost connection, and the settings of the simulator."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from math import sin
from socket import socket
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Artefact
from tests.browser.pages import Pages
from tests.browser.steps import Withheld, call, complete_turn, set_sim, wait_until_ended, wait_until_loaded
from tests.end_to_end.conftest import Serve
from tests.end_to_end.process import ServerProcess

MEASURED = re.compile(r"^\d[\d.,]* (µs|ms|s)$")


def state(page: Page) -> Locator:
    return page.locator("#state")


def tile(page: Page, title: str) -> Locator:
    """The figure of a tile."""
    return page.locator(".tile", has_text=title).locator(".figure")


def plot(page: Page, title: str) -> Locator:
    return page.get_by_role("figure", name=re.compile(f"^{re.escape(title)}"))


def row(page: Page, table: str, *words: str) -> Locator:
    """The row of a table that contains all of these words."""
    found = page.get_by_role("table", name=table).locator("tbody tr")
    for each in words:
        found = found.filter(has_text=each)
    return found


def counted(page: Page, table: str, *words: str) -> Locator:
    """The count in the row with these words."""
    return row(page, table, *words).locator("td").nth(0 if table != "Responses" else 1)


def watched(open_page: Pages, server: ServerProcess, **options: Any) -> Page:
    """The dashboard, once it shows figures."""
    page = open_page(server, "/board", **options)
    expect(state(page)).to_have_text("Live")
    return page


@contextmanager
def streams(server: ServerProcess, count: int, *, target: str = "/stream-loop?gap=20ms") -> Iterator[None]:
    """Keeps `count` streams open during the block."""
    clients = [HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(count)]
    try:
        for client in clients:
            client.request("GET", target)
        responses = [client.getresponse() for client in clients]
        assert all(response.read(6) == b"data: " for response in responses)
        yield
    finally:
        for client in clients:
            client.close()


# Figures


def test_dashboard_is_live_at_once_and_leaves_out_its_own_streams(open_page: Pages, serve: Serve) -> None:
    page = watched(open_page, serve())
    expect(page.get_by_text("Waiting for data")).to_be_hidden()
    expect(page.locator("#facts")).to_have_text(re.compile(r"^up \d+ s · version \d+\.\d+\.\d+\S* · 1 worker$"))
    expect(tile(page, "Streams in flight")).to_have_text("0")
    expect(tile(page, "Tokens per second")).to_have_text("0")
    expect(tile(page, "Memory")).to_have_text(re.compile(r"^\d\d\.\d MiB$"))
    expect(counted(page, "Streams ended", "Complete")).to_have_text("0")
    expect(row(page, "Upstream errors")).to_have_text("None so far")
    expect(plot(page, "Time to first token").locator(".nothing")).to_be_visible()


def test_running_streams_are_counted_and_drawn(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="ttft=40ms~0.4,gap=20ms~0.4")
    page = watched(open_page, server)
    with streams(server, 3, target="/stream-loop"):
        expect(tile(page, "Streams in flight")).to_have_text("3")
        expect(tile(page, "Tokens per second")).to_have_text(re.compile("[1-9]"))
        for title in ["Time to first token", "Inter-token latency", "Ticker lateness"]:
            expect(plot(page, title).locator(".legend b")).to_have_text([MEASURED] * 3)
            expect(plot(page, title).locator(".legend li")).to_contain_text(["p50", "p90", "p99"])
            expect(plot(page, title).locator(".nothing")).to_be_hidden()
    expect(tile(page, "Streams in flight")).to_have_text("0")
    expect(tile(page, "Tokens per second")).to_have_text("0")
    expect(counted(page, "Streams ended", "Client disconnected")).to_have_text("3")


def faint_lines(page: Page) -> list[str]:
    """The lines that are not drawn, or whose contrast to the background is below 3:1."""
    found: list[str] = page.evaluate("""() => {
      const lightness = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
      return [...document.querySelectorAll('.area .line')].filter((line) => {
        const ground = getComputedStyle(line.closest('.panel')).backgroundColor;
        const { stroke, strokeWidth } = getComputedStyle(line);
        const [dark, light] = [stroke, ground].map(lightness).sort((one, other) => one - other);
        return !line.getAttribute('d') || parseFloat(strokeWidth) < 1 || (light + 0.05) / (dark + 0.05) < 3;
      }).map((line) => `${line.closest('.plot').querySelector('h3').textContent} ${line.getAttribute('class')}`);
    }""")
    return found


def test_requests_are_listed_by_route_and_status(open_page: Pages, serve: Serve) -> None:
    server = serve(API_KEY="right")
    page = open_page(server, "/board")
    open_page.expect("status of 401")
    page.locator("#key").fill("right")
    page.locator("#key").press("Enter")
    expect(state(page)).to_have_text("Live")
    for _ in range(2):
        assert call(server, "/stream-sse?gap=1ms&tokens=2", key="right")[0] == 200
    assert call(server, "/nowhere")[0] == 404
    assert call(server, "/v1/models")[0] == 401
    expect(counted(page, "Responses", "/stream-sse", "200 ok")).to_have_text("2")
    expect(counted(page, "Responses", "404 client")).to_have_text("1")
    expect(row(page, "Responses", "404 client").locator("th")).not_to_be_empty()
    expect(counted(page, "Responses", "/v1/models", "401 client")).to_have_text("1")
    expect(row(page, "Responses", "/web")).to_have_count(0)  # the page's own request
    expect(row(page, "Responses", "/board")).to_have_count(0)
    expect(counted(page, "Streams ended", "Complete")).to_have_text("2")
    expect(row(page, "Responses", "nowhere")).to_have_count(0)


def test_requests_that_the_chat_page_sends_by_itself_are_not_listed(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="text=echo,gap=1ms")
    chat = wait_until_loaded(open_page(server, "/web"))
    complete_turn(chat, "one")
    chat.reload()
    wait_until_ended(chat)
    page = chat.context.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/board")
    expect(state(page)).to_have_text("Live")
    expect(row(page, "Responses").locator("th")).to_have_text(["/chat"])
    metrics = call(server, "/metrics")[1]
    assert 'route="/conversations"' in metrics
    assert 'route="/history"' in metrics
    assert 'route="/chat/defaults"' in metrics


def test_upstream_errors_are_listed(open_page: Pages, serve: Serve) -> None:
    with socket() as taken:  # and the events are not read
        taken.bind(("127.0.0.1", 0))
        server = serve(UPSTREAM_URL=f"http://127.0.0.1:{taken.getsockname()[1]}/v1", UPSTREAM_RETRIES="1")
        server.may_log_errors = True
        page = watched(open_page, server)
        question = {"messages": [{"role": "user", "content": "Hello"}], "stream": False}
        assert call(server, "/chat", method="POST", body=question)[0] == 502
    expect(counted(page, "Upstream errors", "upstream_unreachable")).to_have_text("1")
    expect(counted(page, "Responses", "/chat", "502 server")).to_have_text("1")
    expect(page.locator("#counters div", has_text="Upstream retries").locator("dd")).to_have_text("1")


COUNTED = [
    "detached_turns",
    "upstream_retries",
    "rate_limited",
    "memory_refused",
    "stalled_readers",
    "connections_refused",
    "log_lines_lost",
]


def events_at(n: int) -> str:
    """The events of a server in second `n`."""
    streams = round(40 + 30 * sin(n / 12) + 5 * sin(n))
    known: dict[str, object] = dict.fromkeys(COUNTED, 0)
    known |= {
        "at": 1e9 + n,
        "uptime_s": n,
        "version": "0.1.0",
        "workers": 1,
        "window_s": 10.0,
        "connections": streams + 1,
    }
    known |= {"streams": streams, "tokens": 900 * n, "tokens_per_s": 38.5 * streams, "requests_per_s": streams / 9}
    known |= {"resident_bytes": 24 * 2**20 + 2**12 * n}
    known |= {"request_memory_bytes": streams * 2**16, "response_memory_bytes": 2**20}
    for name, least_s in [("ttft", 0.3), ("inter_token", 0.024), ("ticker_late", 0.0004)]:
        slow_s = least_s * (1 + streams / 90)
        known[name] = {"count": 9, "p50_s": least_s, "p90_s": 1.6 * slow_s, "p99_s": 2.5 * slow_s}
    known["requests"] = [
        {"route": "/chat", "status": 200, "count": 12 * n, "failed": n // 30},
        {"route": "/sim", "status": 400, "count": 2, "failed": 0},
    ]
    known |= {"sim": "gap=0.1s", "draining": False}
    known |= {"streams_ended": {"complete": 11 * n, "left": n // 9}, "upstream_errors": {"upstream_truncated": 3}}
    return f"data: {json.dumps(known)}\n\n"


FEED = """
  window.past = null; // the history, where a test has one
  const originalFetch = window.fetch;
  window.fetch = (path, init) => {
    const status = window.past ? 200 : 404;
    if (path.startsWith('board/history')) return Promise.resolve(Response.json(window.past, { status }));
    if (path !== 'board/events') return originalFetch(path, init);
    const body = new ReadableStream({
      start(events) {
        window.deliver = (text) => events.enqueue(new TextEncoder().encode(text));
      },
    });
    return Promise.resolve(new Response(body, { headers: { 'Content-Type': 'text/event-stream' } }));
  };
"""


def fed(open_page: Pages, server: ServerProcess, *, query: str = "", **options: Any) -> Page:
    """The dashboard with the events of `feed` only."""
    page = open_page(server, "/livez", **options)
    open_page.allow("favicon.ico")
    page.add_init_script(FEED)
    page.goto(f"http://127.0.0.1:{server.port}/board{query}")
    page.wait_for_function("() => window.deliver")
    return page


def feed(page: Page, first: int, last: int) -> None:
    """Sends the events of these seconds at once."""
    page.evaluate("(events) => deliver(events)", "".join(events_at(n) for n in range(first, last + 1)))


def test_turns_without_a_client_are_a_current_value(open_page: Pages, serve: Serve) -> None:
    page = fed(open_page, serve())
    for now, words in [(3, "3 turns without a client"), (1, "1 turn without a client")]:
        page.evaluate(
            "(events) => deliver(events)", events_at(now).replace('"detached_turns": 0', f'"detached_turns": {now}')
        )
        expect(page.locator("#facts")).to_contain_text(words)
    page.evaluate("(events) => deliver(events)", events_at(5))
    expect(page.locator("#facts")).not_to_contain_text("without a client")
    expect(page.locator("#counters")).not_to_contain_text("without a client")


POINTS = "document.querySelector('.area .line').getAttribute('d').split(/[ML]/).length - 1"
MEMORY_LINE = "[aria-labelledby=plot-memory] .area .line"
NODES = "document.querySelectorAll('*').length"


def test_plots_are_limited_to_two_minutes(open_page: Pages, serve: Serve) -> None:
    page = fed(open_page, serve())
    feed(page, 1, 1000)
    expect(page.locator("#facts")).to_contain_text("up 16 min 40 s")
    drawn, first = page.evaluate(f"[{POINTS}, {NODES}]")
    assert 120 <= drawn <= 121
    feed(page, 1001, 4000)
    expect(page.locator("#facts")).to_contain_text("up 1 h 6 min")
    drawn, now = page.evaluate(f"[{POINTS}, {NODES}]")
    assert 120 <= drawn <= 121
    assert abs(now - first) < 20  # give or take some ticks


def test_axes_begin_at_nothing_and_lines_contrast_in_both_themes(
    open_page: Pages, serve: Serve, artefact: Artefact
) -> None:
    page = fed(open_page, serve())
    feed(page, 1, 200)
    expect(plot(page, "Inter-token latency").locator(".legend b")).to_have_text([MEASURED] * 3)
    for title, nothing in [("Memory", "0 B"), ("Streams in flight", "0"), ("Inter-token latency", "0 s")]:
        expect(plot(page, title).locator(".ticks span").first).to_have_text(nothing)
    strokes = "(lines) => lines.map((line) => getComputedStyle(line).strokeDasharray)"
    assert len(set(plot(page, "Inter-token latency").locator(".area .line").evaluate_all(strokes))) == 3
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        assert faint_lines(page) == [], theme
        page.screenshot(path=artefact(f"dashboard-{theme}.png"), full_page=True)


def test_plots_are_named_and_their_tables_have_the_values(open_page: Pages, serve: Serve) -> None:
    page = fed(open_page, serve())
    feed(page, 1, 200)
    figures = page.locator("#plots figure")
    titles = figures.locator("h3").all_inner_texts()
    assert len(titles) == 11
    for title in titles:
        figure = page.get_by_role("figure", name=title, exact=True)
        expect(figure.get_by_role("img", name=title)).to_be_visible()
        expect(figure.get_by_role("table")).to_have_count(0)

    page.get_by_role("button", name="Log scale").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Tables")).to_have_attribute("aria-pressed", "true")
    table = page.get_by_role("table", name="Inter-token latency")
    expect(table.locator("thead th")).to_have_text(["Line", "2 min ago", "1 min ago", "now", "peak"])
    expect(table.locator("tbody th")).to_have_text(["p50", "p90", "p99"])
    legend = plot(page, "Inter-token latency").locator(".legend b").all_inner_texts()
    expect(table.locator("tbody td:nth-of-type(3)")).to_have_text(legend)
    expect(table.locator("tbody td:nth-of-type(1)")).to_have_text([MEASURED] * 3)
    expect(page.get_by_role("table", name="Request and response memory").locator("tbody th")).to_have_text(
        ["requests", "responses"]
    )
    expect(page.get_by_role("table", name="Upstream first token")).to_have_count(0)  # there is nothing to tell
    feed(page, 201, 201)
    expect(table.locator("tbody td:nth-of-type(3)")).not_to_have_text(legend)
    page.keyboard.press("Enter")
    expect(table).to_have_count(0)


def test_memory_of_requests_and_responses_is_drawn_and_refusals_are_counted(open_page: Pages, serve: Serve) -> None:
    server = serve(REQUEST_MEMORY="200000")
    page = watched(open_page, server)
    body = {"messages": [{"role": "user", "content": "a " * 100_000}]}
    assert call(server, "/chat", method="POST", body=body)[0] == 503
    held = plot(page, "Request and response memory")
    expect(held.locator(".legend li")).to_have_text(["requests0 B", "responses0 B"])
    expect(page.locator("#counters div", has_text="Refused, memory in use").locator("dd")).to_have_text("1")
    expect(counted(page, "Responses", "/chat", "503 server")).to_have_text("1")


def test_one_request_brings_all_that_is_shown(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = open_page(server, "/livez")
    open_page.allow("favicon.ico")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url.rpartition(str(server.port))[2]))
    page.goto(f"http://127.0.0.1:{server.port}/board")
    expect(state(page)).to_have_text("Live")
    page.wait_for_function("(line) => /L.*L/.test(document.querySelector(line).getAttribute('d'))", arg=MEMORY_LINE)
    of_api = [path for path in requested if not path.startswith("/web/") and "favicon" not in path]
    assert of_api == ["/board", "/board/events", "/board/history?range=15m"]


def test_paused_dashboard_stands_still_and_then_catches_up(open_page: Pages, serve: Serve) -> None:
    page = fed(open_page, serve())
    feed(page, 1, 10)
    expect(page.locator("#facts")).to_contain_text("up 10 s")
    page.get_by_role("button", name="Pause").click()
    expect(state(page)).to_have_text("Paused")
    shown = page.locator("#now").inner_text()
    feed(page, 11, 30)
    page.evaluate("new Promise((read) => setTimeout(read, 100))")
    assert page.locator("#now").inner_text() == shown
    page.get_by_role("button", name="Resume").click()
    expect(state(page)).to_have_text("Live")
    expect(page.locator("#facts")).to_contain_text("up 30 s")
    assert page.evaluate(POINTS) == 30


def test_cursor_shows_the_values_of_its_time(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = watched(open_page, server)
    figure = plot(page, "Streams in flight").locator(".legend b")
    with streams(server, 2):
        expect(tile(page, "Streams in flight")).to_have_text("2")
        page.get_by_role("button", name="Pause").click()
    expect(figure).to_be_empty()  # the tile has the current figure
    slider = page.get_by_role("slider", name="Look back")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowLeft")
        if figure.inner_text() == "0":
            break
    expect(figure).to_have_text("0")
    expect(page.locator("#looked-at")).to_have_text(re.compile(r"^\d+ s ago$"))
    slider.press("End")
    expect(figure).to_be_empty()
    expect(page.locator("#looked-at")).to_have_text("now")


# History


def past(streams: list[int], *, step_s: int = 1, **errors: list[int]) -> dict[str, Any]:
    """The response of `/board/history` that matches the events of `events_at`, up to second 10."""
    parts = ("count", "p50_s", "p90_s", "p99_s")
    latencies = [f"{name}_{part}" for name in ("ttft", "inter_token", "ticker_late") for part in parts]
    columns = dict.fromkeys(["tokens_per_s", "requests_per_s", "connections", *latencies], [0.5] * len(streams))
    return {
        "at": 1e9 + 10,
        "step_s": step_s,
        "streams": streams,
        "resident_bytes": [24 * 2**20] * len(streams),
        "request_memory_bytes": [2**20] * len(streams),
        "response_memory_bytes": [0] * len(streams),
        "errors": {code.removeprefix("e"): rates for code, rates in errors.items()},
        "upstream_errors": {"upstream_reset": [1] * len(streams)},
        "upstream_ttft_p90_s": {"llama": [0.2] * len(streams)},
        **columns,
    }


def points(page: Page, title: str) -> int:
    """The number of points of the first line of a plot."""
    path = plot(page, title).locator(".area .line").first.get_attribute("d") or ""
    return len(re.findall("[ML]", path))


def test_range_shows_the_history_of_the_server(open_page: Pages, serve: Serve, artefact: Artefact) -> None:
    page = fed(open_page, serve())
    page.evaluate("(known) => { window.past = known; }", past([7] * 600, e429=[*[0] * 590, *[9] * 10]))
    feed(page, 10, 10)
    page.wait_for_function(f"() => {POINTS} > 100")
    assert points(page, "Memory") == 121
    page.evaluate("(known) => { window.past = known; }", past([90] * 1400, step_s=60, e503=[1] * 1400))
    page.get_by_role("radio", name="15 min").check()
    assert points(page, "Memory") == 600
    expect(plot(page, "Errors and refusals").locator(".legend li")).to_have_text(["4299.0"])
    expect(plot(page, "Memory").locator(".times span").first).to_have_text("15 min")

    page.get_by_role("radio", name="24 h").check()
    expect(page.locator(".tile", has_text="Streams in flight")).to_contain_text("peak 90")
    assert points(page, "Memory") == 1400
    expect(plot(page, "Errors and refusals").locator(".legend li")).to_have_text(["5031.0"])
    expect(plot(page, "Upstream first token").locator(".legend li")).to_have_text(["llama200 ms"])
    assert faint_lines(page) == []
    slider = page.get_by_role("slider", name="Look back")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page.locator("#looked-at")).to_have_text("1 min ago")
    page.screenshot(path=artefact("dashboard-24h.png"), full_page=True)

    page.get_by_role("radio", name="24 h").press("ArrowLeft")
    expect(page.get_by_role("radio", name="1 h")).to_be_checked()
    assert points(page, "Memory") == 61
    expect(page.locator("#looked-at")).to_have_text("now")


def test_errors_are_drawn_by_their_code(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = watched(open_page, server)
    expect(plot(page, "Errors and refusals").locator(".nothing")).to_have_text("No errors")
    for _ in range(5):
        assert call(server, "/nowhere")[0] == 404
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
            client.request("GET", "/stream-sse?gap=1ms&tokens=5&fault=close@3")
            client.getresponse().fp.read()
    expect(plot(page, "Errors and refusals").locator(".legend li")).to_have_text(
        [re.compile("^404"), re.compile("^failed stream")]
    )
    expect(plot(page, "Errors and refusals").locator(".nothing")).to_be_hidden()
    expect(counted(page, "Responses", "/stream-sse", "200 failed")).to_have_text("5")
    expect(row(page, "Responses", "/stream-sse")).to_have_count(1)


def test_thresholds_of_the_address_are_drawn(open_page: Pages, serve: Serve) -> None:
    page = fed(open_page, serve(), query="?inter_token=2s&cpu=5")
    feed(page, 1, 20)
    expect(plot(page, "Inter-token latency")).to_contain_text("threshold 2 s")
    expect(plot(page, "Inter-token latency").locator(".limit")).to_have_attribute("d", "M0 0H1000")  # the highest tick
    expect(plot(page, "Memory").locator(".limit")).to_have_attribute("d", "")
    expect(page.locator("#threshold-mistakes")).to_have_text(
        re.compile(r"^There is no threshold cpu; there are ttft, ")
    )


def test_dashboard_links_to_metrics_api_and_chat_and_the_chat_back(open_page: Pages, serve: Serve) -> None:
    page = watched(open_page, serve())
    for name, text in [("Metrics", "tokenfall_streams_in_flight"), ("API", '"openapi"')]:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.locator("body")).to_contain_text(text)
        page.go_back()
        expect(state(page)).to_have_text("Live")
    page.get_by_role("link", name="Chat").click()
    expect(page).to_have_url(re.compile(r"/web\?conversation=chat-[0-9a-f]{16}$"))
    page.get_by_role("link", name="Dashboard").click()
    expect(state(page)).to_have_text("Live")


# Lost connections


def test_unreachable_server_is_reported_and_its_values_marked_until_it_is_back(open_page: Pages, serve: Serve) -> None:
    first = serve(SIM="gap=5ms")
    page = watched(open_page, first)
    open_page.allow("ERR_")
    expect(page.get_by_label("Default grammar")).to_have_value("gap=0.005s")
    end = plot(page, "Memory").locator(".times span").last
    expect(end).to_have_text("now")
    first.close()
    expect(state(page)).to_have_text("Reconnecting…")
    expect(page.get_by_role("alert").first).to_have_text(
        re.compile("The server is stopping|The server cannot be reached|The connection broke")
    )
    expect(page.locator("#facts")).to_have_text(re.compile(r" · as of \d+:\d\d:\d\d"))
    expect(end).to_have_text("then")
    for part in ["#tiles", "#plots", "#requests", ".ends", "#counters"]:
        expect(page.locator(part)).to_have_css("opacity", "0.6")
    page.locator("#counters").scroll_into_view_if_needed()
    expect(state(page)).to_be_in_viewport()
    serve(PORT=str(first.port), SIM="gap=7ms")
    expect(state(page)).to_have_text("Live")
    expect(page.get_by_role("alert").first).to_be_empty()
    expect(page.locator("#tiles")).to_have_css("opacity", "1")
    expect(page.get_by_label("Default grammar")).to_have_value("gap=0.007s")


def test_key_dialog_is_shown_and_its_key_used(open_page: Pages, serve: Serve) -> None:
    server = serve(API_KEY="right")
    page = open_page(server, "/board")
    open_page.expect("status of 401")
    expect(page.locator("#key-why")).to_have_text("This server needs an API key.")
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_have_text("No key")
    expect(page.get_by_role("alert").first).to_have_text("The dashboard needs an API key.")
    page.get_by_role("button", name="Enter a key").click()
    page.locator("#key").fill("wrong")
    page.locator("#key").press("Enter")
    expect(page.locator("#key-why")).to_have_text("The server did not accept this key. Try another.")
    page.locator("#key").fill("right")
    page.locator("#key").press("Enter")
    expect(state(page)).to_have_text("Live")
    expect(page.get_by_label("Default grammar")).to_have_value("gap=0.1s")
    page.reload()
    expect(state(page)).to_have_text("Live")


# The simulator


def apply(page: Page, grammar: str) -> None:
    page.get_by_label("Default grammar").fill(grammar)
    page.get_by_role("button", name="Apply").click()


def holds(server: ServerProcess) -> str:
    return str(call(server, "/sim")[1]["sim"])


def test_configuration_can_be_changed_and_restored(open_page: Pages, serve: Serve) -> None:
    server = serve(SIM="gap=3ms")
    page = watched(open_page, server)
    expect(page.get_by_label("Default grammar")).to_have_value("gap=0.003s")
    apply(page, " gap=1ms,tokens=2 ")
    expect(page.locator("#sim-status")).to_have_text("Applied to new streams.")
    expect(page.get_by_label("Default grammar")).to_have_value(holds(server))
    assert call(server, "/stream-sse")[1].count('"finish":false') == 2
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#sim-status")).to_have_text("Reset to the settings from startup.")
    expect(page.get_by_label("Default grammar")).to_have_value("gap=0.003s")
    assert holds(server) == "gap=0.003s"


def test_invalid_setting_shows_the_servers_message_beside_the_field(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = watched(open_page, server)
    open_page.expect("status of 400")
    field = page.get_by_label("Default grammar")
    for text in ["gap=soon", "speeed=2"]:
        apply(page, text)
        status, found = call(server, "/sim", method="PUT", body={"sim": text})
        assert status == 400
        expect(page.locator("#sim-error")).to_have_text(found["detail"])
        expect(field).to_have_value(text)
        expect(field).to_have_attribute("aria-invalid", "true")
    assert holds(server) == "gap=0.1s"
    field.fill("gap=1ms")
    expect(page.locator("#sim-error")).to_be_empty()
    expect(field).to_have_attribute("aria-invalid", "false")


def test_example_is_only_filled_in_until_applied(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = watched(open_page, server)
    for name in page.locator("#sim-chips button").all_inner_texts():
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_label("Default grammar")).to_be_focused()
        assert holds(server) == "gap=0.1s"
    page.get_by_label("Default grammar").press("Enter")
    expect(page.locator("#sim-status")).not_to_be_empty()
    assert "status=503%0.3" in holds(server)


def test_each_example_of_the_grammar_is_accepted(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = watched(open_page, server)
    page.get_by_text("Grammar reference").click()
    examples = page.get_by_role("table", name="Keys of the grammar").locator("tbody th").all_inner_texts()
    assert len(examples) > 10
    for example in examples:
        if not example.startswith("script="):  # a name of a file
            assert call(server, "/sim", method="PUT", body={"sim": example})[0] == 200, example


def test_current_settings_are_shown_beside_typed_ones(open_page: Pages, serve: Serve) -> None:
    server = serve()
    page = watched(open_page, server)
    field, now = page.get_by_label("Default grammar"), page.locator("#sim-now")
    set_sim(server, "gap=77ms")
    expect(now).to_have_text("gap=0.077s")
    expect(field).to_have_value("gap=0.077s")
    open_page.expect("status of 400")
    for mistake in ["gap=soon", "profile=nope", "script=nope.yml"]:
        apply(page, mistake)
        expect(page.locator("#sim-error")).not_to_be_empty()
        expect(field).to_have_value(mistake)
        expect(now).to_have_text("gap=0.077s")
    set_sim(server, "gap=78ms")
    expect(now).to_have_text("gap=0.078s")
    expect(field).to_have_value(mistake)


@pytest.mark.parametrize("button", ["Apply", "Reset"])
def test_settings_typed_during_a_request_stay(open_page: Pages, serve: Serve, button: str) -> None:
    server = serve(SIM="gap=3ms")
    page = watched(open_page, server)
    field = page.get_by_label("Default grammar")
    withheld = Withheld(page, "**/sim")
    field.fill("gap=5ms")
    page.get_by_role("button", name=button).click()
    withheld.wait()
    field.press("End")
    field.press_sequentially(",tokens=7")
    withheld.release()
    expect(page.locator("#sim-status")).not_to_be_empty()
    expect(page.locator("#sim-now")).to_have_text("gap=0.005s" if button == "Apply" else "gap=0.003s")
    expect(field).to_have_value("gap=5ms,tokens=7")


def test_draining_server_is_reported_on_the_dashboard(open_page: Pages, serve: Serve) -> None:
    server = serve(DRAIN_TIMEOUT="20s")
    page = watched(open_page, server)
    open_page.expect("status of 503")
    with streams(server, 2):
        server.signal()
        expect(state(page)).to_have_text("Draining")
        apply(page, "gap=1ms")
        expect(page.locator("#sim-error")).to_have_text("The server is stopping.")
        expect(tile(page, "Streams in flight")).to_have_text("2")
    open_page.allow("ERR_")
    expect(state(page)).to_have_text("Reconnecting…")
    server.wait()


def test_key_of_the_form_is_used_by_the_dashboard(open_page: Pages, serve: Serve) -> None:
    server = serve(API_KEY="right")
    page = open_page(server, "/board")
    open_page.expect("status of 401")
    page.get_by_role("button", name="Cancel").click()
    expect(state(page)).to_have_text("No key")
    page.evaluate("document.querySelector('#now').hidden = false")  # the same as with figures
    apply(page, "gap=2ms")
    page.locator("#key").fill("right")
    page.locator("#key").press("Enter")
    expect(state(page)).to_have_text("Live")
    expect(page.locator("#sim-now")).to_have_text("gap=0.002s")


def test_form_is_disabled_with_a_reason_while_there_are_several_workers(open_page: Pages, serve: Serve) -> None:
    first = serve(WORKERS="2", HISTORY_URL="sqlite:///chat.db")
    page = watched(open_page, first)
    open_page.allow("ERR_")
    expect(page.locator("#facts")).to_contain_text("2 workers")
    expect(page.locator("#sim-error")).to_contain_text("WORKERS=1")
    for control in page.locator("#sim-form :is(input, button)").all():
        expect(control).to_be_disabled()
    first.close()
    serve(PORT=str(first.port))
    expect(page.locator("#facts")).to_contain_text("1 worker")
    expect(page.get_by_label("Default grammar")).to_be_enabled()
    expect(page.locator("#sim-error")).to_be_empty()
