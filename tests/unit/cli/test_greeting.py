import pytest

from tokenfall.cli.greeting import greeting, say_cannot_listen, say_where


def test_the_greeting_says_what_to_try_first() -> None:
    assert greeting("http://127.0.0.1:8080", keyed=False) == (
        "Tokenfall listens on http://127.0.0.1:8080\n"
        "  the chat page:  http://127.0.0.1:8080/web\n"
        "  the board:      http://127.0.0.1:8080/board\n"
        "  try:  curl -N http://127.0.0.1:8080/stream-sse\n"
        "        curl -N 'http://127.0.0.1:8080/stream-ndjson?gap=20ms'\n"
        '        curl -N http://127.0.0.1:8080/chat -d \'{"messages":[{"role":"user","content":"Hello"}]}\''
    )


def test_where_a_key_is_asked_for_the_greeting_shows_how_but_not_which() -> None:
    lines = greeting("http://127.0.0.1:8080", keyed=True).splitlines()

    assert all('-H "X-API-Key: $API_KEY"' in line for line in lines if "curl" in line)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("0.0.0.0", 80), "127.0.0.1:80"),
        (("::", 80), "127.0.0.1:80"),
        (("::1", 80), "[::1]:80"),
    ],
)
def test_an_address_is_named_so_that_a_browser_takes_it(
    address: tuple[str, int], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_where(address, keyed=False)

    assert capsys.readouterr().out.splitlines()[0] == f"Tokenfall listens on http://{named}"


def test_why_it_cannot_listen_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say_cannot_listen("::1", 80, error=OSError(98, "Address in use"))

    said = capsys.readouterr()
    assert said.err == "tokenfall: HOST, PORT: cannot listen on ::1:80: [Errno 98] Address in use\n"
    assert said.out == ""
