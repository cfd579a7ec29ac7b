"""Messages at the start, on the terminal. Must not import large modules, because the supervisor prints them too."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tokenfall.settings import Settings


def print_greeting(address: tuple[str, int], settings: Settings) -> None:
    """Print the greeting of a server that listens on `address`."""
    print(greeting(f"http://{_named(*address)}", settings), flush=True)


def print_cannot_listen(host: str, port: int, *, error: OSError) -> None:
    """Print one line with the settings, the address, the reason and what to change."""
    reason = error.strerror or str(error)
    print(f"tokenfall: HOST, PORT: cannot listen on {host}:{port}: {reason}{_advice(error)}", file=sys.stderr)


def _advice(error: OSError) -> str:
    from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL  # noqa: PLC0415 - only needed for an error
    from socket import gaierror  # noqa: PLC0415

    if error.errno == EADDRINUSE:
        return "; set PORT to another port, or to 0 for a free one"
    if error.errno == EACCES:
        return "; set PORT to 1024 or higher"
    if error.errno == EADDRNOTAVAIL or isinstance(error, gaierror):
        return "; HOST takes an address or a name of this machine, such as 127.0.0.1 or 0.0.0.0"
    return ""


def greeting(base: str, settings: Settings) -> str:
    """The address, the pages, the main settings and example requests. Shows no key and no user of a store."""
    key = ' -H "X-API-Key: $API_KEY"' if settings.api_key else ""
    return (
        f"Tokenfall listens on {base}\n"
        f"  the chat page:  {base}/web\n"
        f"  the dashboard:  {base}/board\n"
        f"  model:    {_engine(settings)}\n"
        f"  API key:  {_key(settings)}\n"
        f"  history:  {_history(settings)}\n"
        f"  limits:   {_limits(settings)}\n"
        f"  try:  curl -N{key} {base}/stream-sse\n"
        f"        curl -N{key} '{base}/stream-ndjson?gap=20ms'\n"
        f'        curl -N{key} {base}/chat -d \'{{"messages":[{{"role":"user","content":"Hello"}}]}}\''
    )


def _engine(settings: Settings) -> str:
    if settings.upstream is None:
        return f"the simulator, {settings.sim}; set GROQ_API_KEY or UPSTREAM_URL for a model"
    hint = "" if settings.model else " or its only model; set MODEL for another one"
    return f"{settings.default_model} at {settings.upstream.partition('?')[0]}{hint}"


def _key(settings: Settings) -> str:
    return "required" if settings.api_key else "off; set API_KEY to require one"


def _history(settings: Settings) -> str:
    scheme, _, location = settings.history.partition("://")
    if scheme == "memory":
        return "in memory, lost when the server stops; set HISTORY_URL=sqlite:///chat.db to keep it"
    return f"{scheme}://{location.rpartition('@')[2].partition('?')[0]}"


def _limits(settings: Settings) -> str:
    rate = "no rate limit"
    if settings.rate_limit_rps:
        rate = f"{settings.rate_limit_rps:g} requests/s per address, {settings.rate_limit_burst} at once"
    return f"{rate}; {settings.max_tokens} tokens per response"


def _named(host: str, port: int) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
