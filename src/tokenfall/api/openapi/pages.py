"""The operations of the pages, the dashboard's data, the probes and `/openapi.json`.

The Structs are only descriptions: probes encode their documents without msgspec.
"""

from functools import partial
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.api.dashboard_history import Trend
from tokenfall.api.exposition import CONTENT_TYPE as METRICS
from tokenfall.api.openapi.operation import Operation
from tokenfall.api.page import ASSETS, TYPES
from tokenfall.wire import sse

TEXT = "text/plain; charset=utf-8"


class Health(Struct):
    status: Literal["ok"]
    version: str
    uptime_s: Annotated[float, Meta(ge=0)]


class Readiness(Struct):
    """The response of `/readyz`. `failing` are the names of the failed checks."""

    status: Literal["ready", "degraded", "draining", "unavailable"]
    failing: list[str] | UnsetType = UNSET


class Version(Struct):
    name: Literal["tokenfall"]
    version: str


class Description(Struct):
    openapi: Literal["3.1.0"]
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


_page = partial(Operation, tag="page")
_probe = partial(Operation, tag="probes")
_file = partial(Operation, tag="page", headers=("ETag",), media=(TYPES[".html"],), failures=(304,))
_redirect = partial(Operation, tag="page", status=307, headers=("Location",))

PAGES = {
    "pages.chat": _file(summary="The chat page"),
    "pages.dashboard": _file(summary="The dashboard"),
    "pages.asset": _file(
        summary="An asset of the pages",
        media=tuple(TYPES[extension] for extension in sorted(ASSETS)),
        parameters=("file",),
        failures=(304, 404),
    ),
    "pages.to_chat": _redirect(summary="Redirect to the chat page"),
    "pages.to_dashboard": _redirect(summary="Redirect to the dashboard"),
    "pages.openapi": _page(summary="This OpenAPI description", responses=(Description,)),
    "dashboard.events": _page(
        summary="Stream the server's live statistics, one event a second", media=(sse.CONTENT_TYPE,)
    ),
    "dashboard.history": _page(
        summary="Get the server's statistics of up to 24 hours",
        responses=(Trend,),
        parameters=("range",),
        failures=(400,),
    ),
    "probes.health": _probe(summary="Health check", responses=(Health,), media=(TEXT,)),
    "probes.live": _probe(summary="Liveness: the event loop runs", media=(TEXT,)),
    "probes.ready": _probe(
        summary="Readiness: the server accepts new requests",
        responses=(Readiness,),
        unready=Readiness,
    ),
    "probes.metrics": _probe(summary="Metrics in Prometheus text format", media=(METRICS,)),
    "probes.version": _probe(summary="Name and version of the server", responses=(Version,)),
}
