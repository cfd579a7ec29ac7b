import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tokenfall import health_check
from tokenfall.cli.main import main

Serve = Callable[..., None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Responds to one connection at HOST and PORT with these bytes; None sends no response."""
    listener = socket.create_server(("127.0.0.1", 0))
    released = threading.Event()
    threads: list[threading.Thread] = []

    def respond(*pieces: bytes | None) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            for piece in pieces:
                if piece is None:
                    released.wait(20)
                else:
                    connection.sendall(piece)

    def start(*pieces: bytes | None) -> None:
        threads.append(threading.Thread(target=respond, args=pieces))
        threads[-1].start()
        monkeypatch.setenv("HOST", "0.0.0.0")
        monkeypatch.setenv("PORT", str(listener.getsockname()[1]))

    yield start
    released.set()
    for thread in threads:
        thread.join()
    listener.close()


def test_server_that_answers_200_is_healthy(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve(b"HTTP/1.1 2", b"00 OK\r\n\r\nOK")

    assert main(["health"]) == health_check.HEALTHY
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("response", "shown"),
    [(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "503"), (b"SSH-2.0-x\r\n", "nothing"), (b"", "nothing")],
)
def test_any_other_response_is_unhealthy_and_shown(
    serve: Serve, capsys: pytest.CaptureFixture[str], response: bytes, shown: str
) -> None:
    serve(response)

    assert main(["health"]) == health_check.UNHEALTHY
    assert f"responded with {shown}, not 200" in capsys.readouterr().err


def test_server_that_accepts_without_responding_is_unhealthy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health_check, "TIMEOUT_S", 0.05)
    serve(None)

    assert main(["health"]) == health_check.UNHEALTHY
    assert "no response from 0.0.0.0" in capsys.readouterr().err


def test_refused_connection_is_unhealthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HOST", "127.0.0.1")
    monkeypatch.setenv("PORT", str(port))

    assert main(["health"]) == health_check.UNHEALTHY
    assert f"no response from 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "port"), [(["--now"], "8080"), ([], "x"), ([], "0"), ([], "65536")])
def test_invalid_argument_or_port_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], port: str
) -> None:
    monkeypatch.setenv("PORT", port)

    assert main(["health", *arguments]) == health_check.USAGE_ERROR
    assert capsys.readouterr().err.count("\n") == 1


def test_module_command_imports_only_the_check() -> None:
    ended = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", "-m", "tokenfall", "health", "--usage"],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == health_check.USAGE_ERROR
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time")}
    assert {name for name in loaded if name.startswith("tokenfall")} == {"tokenfall", "tokenfall.health_check"}
    assert loaded & {"socket", "enum", "re", "typing", "argparse"} == set()
