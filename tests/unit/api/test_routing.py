import pytest

from tokenfall.api.routing import ErrorEncoder, Route, Router, parameter
from tokenfall.http.loadable import Loadable
from tokenfall.http.request import Request
from tokenfall.http.response import AnyResponse, Response
from tokenfall.wire.api_error import ApiError

from tests.doubles.requests import request


def handler(request: Request) -> AnyResponse:
    return Response(200)


def route(method: str, path: str, *, quiet: bool = False, for_pages: bool = False) -> Route:
    return Route(method, path, operation="a.route", handler=handler, quiet=quiet, for_pages=for_pages)


def test_path_is_matched_exactly() -> None:
    get, post = route("GET", "/a"), route("POST", "/a")
    router = Router([get, post, route("GET", "/b")])

    assert router.methods("/a") == {"GET": get, "HEAD": get, "POST": post}
    for other in ("/a/", "/A", "a", "/", "", "//a"):
        assert router.methods(other) == {}


def test_head_is_allowed_only_with_get() -> None:
    assert "HEAD" not in Router([route("POST", "/a")]).methods("/a")


def test_duplicate_route_is_refused() -> None:
    with pytest.raises(ValueError, match="two routes for GET /a"):
        Router([route("GET", "/a"), route("GET", "/a")])


def test_route_requires_a_key_by_default() -> None:
    plain = route("GET", "/a")

    assert (plain.keyed, plain.limited, plain.open_while_draining, plain.quiet) == (True, False, False, False)


def test_path_is_quiet_if_all_its_routes_are_quiet() -> None:
    router = Router([route("GET", "/a", quiet=True), route("GET", "/b", quiet=True), route("POST", "/b")])

    assert router.quiet_paths() == {"/a"}


def test_path_belongs_to_a_page_if_all_its_routes_do() -> None:
    pages = [route("GET", "/a", for_pages=True), route("POST", "/a", for_pages=True)]
    router = Router([*pages, route("GET", "/b", for_pages=True), route("POST", "/b")])

    assert router.page_paths() == {"/a"}


# Path parameters


TURN, STOP = route("GET", "/turns/{turn}"), route("POST", "/turns/{turn}/stop")
PARAMETERS = Router([TURN, STOP, route("GET", "/turns/all")])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/turns/1", {"GET": TURN, "HEAD": TURN}),
        ("/turns/stop", {"GET": TURN, "HEAD": TURN}),
        ("/turns/1/stop", {"POST": STOP}),
        ("/turns/stop/stop", {"POST": STOP}),
        ("/turns/", {}),
        ("/turns", {}),
        ("/turns//stop", {}),
        ("/turns/1/", {}),
        ("/turns/1/2", {}),
        ("/turns/1/2/stop", {}),
        ("/turns/1/stop/", {}),
        ("/other/1", {}),
    ],
)
def test_parameter_is_one_complete_segment(path: str, found: dict[str, Route]) -> None:
    assert PARAMETERS.methods(path) == found


def test_exact_path_precedes_a_parameter() -> None:
    assert PARAMETERS.methods("/turns/all")["GET"].path == "/turns/all"


@pytest.mark.parametrize(
    ("pattern", "path", "value"),
    [
        ("/turns/{turn}", "/turns/t_1", "t_1"),
        ("/turns/{turn}/stop", "/turns/t_1/stop", "t_1"),
        ("/turns/{turn}/stop", "/turns/stop/stop", "stop"),
        ("/a/{b}", "/a/x%3Ay%7D", "x:y}"),
    ],
)
def test_parameter_value_is_the_segment(pattern: str, path: str, value: str) -> None:
    incoming = request(path)
    incoming.route = pattern

    assert parameter(incoming) == value


def test_escaped_slash_does_not_match_another_route() -> None:
    assert PARAMETERS.methods(request("/turns/a%2Fb").path) == {}


# Multi-segment parameters


MODEL, MODELS = route("GET", "/models/{model...}"), route("GET", "/models")
SLASHES = Router([MODEL, MODELS, route("GET", "/files/{path...}/raw")])


@pytest.mark.parametrize("path", ["/models/a", "/models/org/a", "/models/a/b/c", "/models//", "/models/a/"])
def test_multi_segment_parameter_matches_slashes(path: str) -> None:
    assert SLASHES.methods(path) == {"GET": MODEL, "HEAD": MODEL}


@pytest.mark.parametrize("path", ["/models/", "/model/a", "/files/raw", "/files//raw", "/files/a/b"])
def test_multi_segment_parameter_is_never_empty(path: str) -> None:
    assert SLASHES.methods(path) == {}


def test_exact_path_precedes_a_multi_segment_parameter() -> None:
    assert SLASHES.methods("/models")["GET"] == MODELS
    assert list(SLASHES.methods("/files/a/b/raw")) == ["GET", "HEAD"]


@pytest.mark.parametrize("path", ["/models/org/a:1b", "/models/org%2Fa:1b"])
def test_multi_segment_parameter_value_keeps_its_slashes(path: str) -> None:
    incoming = request(path)
    incoming.route = MODEL.path

    assert parameter(incoming) == "org/a:1b"


def refuse(request: Request, api_error: ApiError) -> Response:
    return Response(404)


def test_errors_below_a_prefix_use_the_first_matching_dialect() -> None:
    messages, models = ErrorEncoder(refuse), ErrorEncoder(refuse, Loadable())
    router = Router([], error_encoders=[("/v1/messages/", messages), ("/v1/", models)])

    assert router.error_encoder_of("/v1/messages/batches", "GET") is messages
    assert router.error_encoder_of("/v1/messages", "GET") is messages
    assert router.error_encoder_of("/v1/files", "GET") is models
    assert router.error_encoder_of("/v1", "GET") is models
    assert router.error_encoder_of("/v2/files", "GET") is None
    assert router.error_encoder_of("/v12", "GET") is None
    assert Router([]).error_encoder_of("/v1/files", "GET") is None


def test_errors_of_a_path_use_the_dialect_of_its_routes() -> None:
    needed = Loadable()
    router = Router(
        [
            Route("POST", "/v1/a", operation="", handler=handler, refuse=refuse, needs=needed),
            Route("GET", "/b", operation="", handler=handler),
        ]
    )

    for method in ("POST", "GET"):
        assert router.error_encoder_of("/v1/a", method) == ErrorEncoder(refuse, needed)
        assert router.error_encoder_of("/b", method) is None
