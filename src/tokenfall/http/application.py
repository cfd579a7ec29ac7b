"""What the edge asks of the program behind it."""

CLIENT_CLOSED_REQUEST = 499
"""nginx's number for an answer that nobody waited for; it stands in logs and is never sent."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Literal, Protocol

    from tokenfall.http.loadable import Loadable
    from tokenfall.http.request import Request
    from tokenfall.http.response import Answer, Response

    Outcome = Literal["complete", "left", "stalled", "cut", "failed"]
    """How an answer ended: whole; the client left; the client stopped reading; cut by the drain; broken by an
    error."""

    class Application(Protocol):
        """One for a process. No method may block or raise; `answer`'s coroutine may raise only on a defect."""

        def answer(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            """The answer, at once or from a coroutine. The coroutine is cancelled when the client leaves.

            Lines to add to the answer's head, ready to send, go to `request.reply_headers`.
            """
            ...

        def proceed(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
            """The answer to a request whose answer was a `Loadable`, once that is loaded; it may be another one."""
            ...

        def refusal_needs(self, request: Request) -> Loadable | None:
            """What has to be loaded before `refuse`; None for nothing."""
            ...

        def refuse(self, request: Request, status: int, *, detail: str) -> Response:
            """The answer to what the edge itself refuses; where no request could be read, a stand-in for it."""
            ...

        def cut(self, request: Request) -> Response:
            """The answer to a request whose own answer had not begun when the drain time was over."""
            ...

        def crashed(self, request: Request, error: Exception) -> Response:
            """The answer when `answer`'s coroutine, or a stream before its first byte, raised.

            Called in the `except`.
            """
            ...

        def ended(self, request: Request, status: int, *, outcome: Outcome, sent_bytes: int) -> None:
            """An answer is over: for logs and metrics. `request` keeps neither headers nor body by now."""
            ...
