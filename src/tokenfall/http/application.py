"""The interface between the HTTP server and the application that produces the responses."""

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that closed the connection before its response. Appears in logs only, never sent."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Literal, Protocol

    from tokenfall.http.loadable import Loadable
    from tokenfall.http.request import Request
    from tokenfall.http.response import AnyResponse, Response

    Outcome = Literal["complete", "left", "stalled", "cut", "failed"]
    """How a response ended: complete; the client disconnected (`left`); the client stopped reading (`stalled`); the
    drain time was over (`cut`); an error."""

    class Application(Protocol):
        """One per process. No method may block or raise; `respond`'s coroutine may raise only on a defect."""

        def respond(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
            """Return the response, or a coroutine for it. The coroutine is cancelled when the client disconnects.

            Additional header lines, already encoded, go to `request.response_headers`.
            """
            ...

        def respond_when_loaded(self, request: Request) -> AnyResponse | Coroutine[Any, Any, AnyResponse]:
            """Return the response once the `Loadable` returned before is loaded; it may be another `Loadable`."""
            ...

        def needed_for_refusal(self, request: Request) -> Loadable | None:
            """Return the `Loadable` that `refuse` needs, None if it needs none."""
            ...

        def caller(self, request: Request) -> str:
            """Return the name of the caller, by which memory is shared; the head of `request` is complete."""
            ...

        def refuse(self, request: Request, status: int, *, detail: str) -> Response:
            """Return the error response for a request that the HTTP server refuses.

            If no request could be parsed, `request` is the placeholder made by `placeholder_request`.
            """
            ...

        def cut(self, request: Request) -> Response:
            """Return the response for a request whose own response had not started at the end of the drain."""
            ...

        def crashed(self, request: Request, error: Exception) -> Response:
            """Return the response when `respond`'s coroutine, or a stream before its first byte, raised.

            Called inside the `except` block.
            """
            ...

        def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
            """Called after each response, for logs and metrics. Headers and body of `request` are already dropped."""
            ...
