"""What a person is told at the start. Loads nothing: the supervisor of workers says it too, and has no event loop."""

import sys


def say_where(address: tuple[str, int], *, keyed: bool) -> None:
    """Print the greeting of a server that listens on `address`."""
    print(greeting(f"http://{_named(*address)}", keyed=keyed), flush=True)


def say_cannot_listen(host: str, port: int, *, error: OSError) -> None:
    """Print the one line that names the settings, the address and why."""
    print(f"tokenfall: HOST, PORT: cannot listen on {host}:{port}: {error}", file=sys.stderr)


def greeting(base: str, *, keyed: bool) -> str:
    """What a person needs to know first."""
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
    if host in ("0.0.0.0", "::"):  # noqa: S104 - read, not listened on
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
