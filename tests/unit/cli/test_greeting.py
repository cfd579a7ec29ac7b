from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EMFILE
from socket import EAI_NONAME, gaierror

import pytest

from tokenfall.cli.greeting import greeting, print_cannot_listen, print_greeting
from tokenfall.settings import Settings

HOST_ADVICE = "; HOST takes an address or a name of this machine, such as 127.0.0.1 or 0.0.0.0"
BASE = "http://127.0.0.1:8080"


def about(**values: object) -> dict[str, str]:
    """The values of the greeting by their labels."""
    lines = greeting(BASE, Settings(**values)).splitlines()
    return {name.strip(): text.strip() for name, _, text in (line.partition(":  ") for line in lines[1:8])}


def test_greeting_shows_pages_settings_and_example_requests() -> None:
    assert greeting(BASE, Settings()) == (
        "Tokenfall listens on http://127.0.0.1:8080\n"
        "  the chat page:  http://127.0.0.1:8080/web\n"
        "  the dashboard:  http://127.0.0.1:8080/board\n"
        "  model:    the simulator, gap=100ms; set GROQ_API_KEY or UPSTREAM_URL for a model\n"
        "  API key:  off; set API_KEY to require one\n"
        "  history:  in memory, lost when the server stops; set HISTORY_URL=sqlite:///chat.db to keep it\n"
        "  limits:   10 requests/s per address, 20 at once; 4096 tokens per response\n"
        "  try:  curl -N http://127.0.0.1:8080/stream-sse\n"
        "        curl -N 'http://127.0.0.1:8080/stream-ndjson?gap=20ms'\n"
        '        curl -N http://127.0.0.1:8080/chat -d \'{"messages":[{"role":"user","content":"Hello"}]}\''
    )


def test_greeting_shows_the_model_and_its_upstream() -> None:
    groq = about(groq_api_key="gsk_secret", model="big")
    other = about(upstream_url="http://10.0.0.1/v1?key=secret", model="own")

    unset = about(groq_api_key="gsk_secret")

    assert groq["model"] == "big at https://api.groq.com/openai/v1"
    assert other["model"] == "own at http://10.0.0.1/v1"
    assert unset["model"].endswith("at https://api.groq.com/openai/v1 or its only model; set MODEL for another one")


def test_greeting_shows_the_store_without_its_user() -> None:
    assert about(history_url="sqlite:///chat.db")["history"] == "sqlite:///chat.db"
    assert about(redis_url="rediss://me:secret@host:6380/1?x=secret")["history"] == "rediss://host:6380/1"


def test_greeting_shows_that_there_is_no_rate_limit() -> None:
    assert about(rate_limit_rps=0.0, max_tokens=100)["limits"] == "no rate limit; 100 tokens per response"


def test_greeting_with_a_key_shows_the_header_and_not_the_key() -> None:
    text = greeting(BASE, Settings(api_key=("secret",)))

    assert all('-H "X-API-Key: $API_KEY"' in line for line in text.splitlines() if "curl" in line)
    assert "API key:  required\n" in text
    assert "secret" not in text


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
    print_greeting(address, Settings())

    assert capsys.readouterr().out.splitlines()[0] == f"Tokenfall listens on http://{named}"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(EADDRINUSE, "Reason"), "; set PORT to another port, or to 0 for a free one"),
        (OSError(EACCES, "Reason"), "; set PORT to 1024 or higher"),
        (OSError(EADDRNOTAVAIL, "Reason"), HOST_ADVICE),
        (gaierror(EAI_NONAME, "Reason"), HOST_ADVICE),
        (OSError(EMFILE, "Reason"), ""),
        (OSError("Reason"), ""),
    ],
)
def test_listen_error_is_one_line_that_says_what_to_change(
    error: OSError, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_cannot_listen("::1", 80, error=error)

    output = capsys.readouterr()
    assert output.err == f"tokenfall: HOST, PORT: cannot listen on ::1:80: Reason{advice}\n"
    assert output.out == ""
