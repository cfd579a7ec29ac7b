import pytest

from tokenfall.cli.greeting import greeting, print_cannot_listen, print_greeting


def test_greeting_shows_pages_and_example_requests() -> None:
    assert greeting("http://127.0.0.1:8080", keyed=False) == (
        "Tokenfall listens on http://127.0.0.1:8080\n"
        "  the chat page:  http://127.0.0.1:8080/web\n"
        "  the board:      http://127.0.0.1:8080/board\n"
        "  try:  curl -N http://127.0.0.1:8080/stream-sse\n"
        "        curl -N 'http://127.0.0.1:8080/stream-ndjson?gap=20ms'\n"
        '        curl -N http://127.0.0.1:8080/chat -d \'{"messages":[{"role":"user","content":"Hello"}]}\''
    )


def test_greeting_with_a_key_shows_the_header_and_not_the_key() -> None:
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
def test_greeting_shows_an_address_that_browsers_accept(
    address: tuple[str, int], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_greeting(address, keyed=False)

    assert capsys.readouterr().out.splitlines()[0] == f"Tokenfall listens on http://{named}"


def test_listen_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_cannot_listen("::1", 80, error=OSError(98, "Address in use"))

    said = capsys.readouterr()
    assert said.err == "tokenfall: HOST, PORT: cannot listen on ::1:80: [Errno 98] Address in use\n"
    assert said.out == ""
