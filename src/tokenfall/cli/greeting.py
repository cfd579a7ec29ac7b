"""Messages of the start on the terminal. Imports nothing large, because the supervisor prints them too."""

import sys


def print_greeting(address: tuple[str, int], *, keyed: bool) -> None:
    """Print the greeting of a server that listens on `address`; `keyed` if it requires an API key."""
    print(greeting(f"http://{_named(*address)}", keyed=keyed), flush=True)


def print_cannot_listen(host: str, port: int, *, error: OSError) -> None:
    """Print one line with the settings, the address and the reason."""
    print(f"tokenfall: HOST, PORT: cannot listen on {host}:{port}: {error}", file=sys.stderr)


def greeting(base: str, *, keyed: bool) -> str:
    """The address, the pages and example requests."""
    key = ' -H "X-API-Key: $API_KEY"' if keyed else ""
    return (
        f"Tokenfall listens on {base}\n"
        f"  the chat page:  {base}/web\n"
        f"  the board:      {base}/board\n"
        f"  try:  curl -N{key} {base}/stream-sse\n"
        f"        curl -N{key} '{base}/stream-ndjson?gap=20ms'\n"
        f'        curl -N{key} {base}/chat -d \'{{"messages":[{{"role":"user","content":"Hello"}}]}}\''
    )


def _named(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
