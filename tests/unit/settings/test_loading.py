from pathlib import Path

import pytest

from tokenfall import installation
from tokenfall.errors import InvalidRequest
from tokenfall.settings import InvalidSetting, Settings, kinds, load
from tokenfall.settings.fields import GROQ_URL, SETTINGS
from tokenfall.settings.loading import format_value
from tokenfall.simulator.grammar import parse

DIGEST = "sha256:" + "0123456789abcdef" * 4
HOSTILE = ["\x1b[31m", "\r\nforged: line", "\0"]


def refused(**texts: str) -> str:
    """The error message for invalid settings, given by field name."""
    with pytest.raises(InvalidSetting) as caught:
        load({name.upper(): text for name, text in texts.items()})
    return str(caught.value)


def read(name: str, text: str) -> object:
    value: object = getattr(load({name.upper(): text}), name)
    return value


# Types of values


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("host", "0.0.0.0", "0.0.0.0"),
        ("port", "0", 0),
        ("port", "65535", 65535),
        ("max_tokens", "0001", 1),
        ("rate_limit_rps", "0", 0.0),
        ("rate_limit_rps", "0.5", 0.5),
        ("rate_limit_rps", "1000000", 1e6),
        ("header_timeout", "250ms", 0.25),
        ("header_timeout", "2m", 120.0),
        ("max_body", "1", 1),
        ("max_body", "16KiB", 16_384),
        ("max_body", "3MiB", 3 * 1024**2),
        ("max_body", "1GiB", 1024**3),
        ("allow_anonymous", "true", True),
        ("allow_anonymous", "YES", True),
        ("allow_anonymous", "1", True),
        ("allow_anonymous", "no", False),
        ("allow_anonymous", "False", False),
        ("allow_anonymous", "0", False),
        ("api_key", "a", ("a",)),
        ("api_key", f" a , {DIGEST},", ("a", DIGEST)),
        ("upstream_url", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("upstream_url", "https://a.example/v1/", "https://a.example/v1/"),
        ("cors_origins", "https://a.example, http://b:80", ("https://a.example", "http://b:80")),
        ("cors_origins", "*", ("*",)),
        ("trusted_proxies", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("trusted_proxies", "10.1.2.3/8", ("10.1.2.3/8",)),
        ("port", " 80 ", 80),
        ("groq_api_key", "gsk_a-B.9", "gsk_a-B.9"),
        ("sim", "gap=20ms,ttft=1s~0.4", "gap=20ms,ttft=1s~0.4"),
        ("log_level", "debug", "debug"),
        ("history_url", "memory://", "memory://"),
    ],
)
def test_valid_value_is_parsed(name: str, text: str, value: object) -> None:
    assert read(name, text) == value


INVALID = {
    "port": ["-1", "65536", "80.0", "8_0", "٣", "8 0", "9" * 5_000],
    "workers": ["0"],
    "max_tokens": ["0"],
    "rate_limit_rps": ["-1", "1e3", "inf", "nan", "1000001", "."],
    "header_timeout": ["0s", "10", "-1s", "1h"],
    "max_body": ["0", "1KB", "1.5MiB", "KiB", "-1", "2048GiB"],
    "allow_anonymous": ["maybe", "on"],
    "api_key": [",", "sha256:", "sha256:abc", "sha256:" + "g" * 64, "\udcff"],
    "upstream_url": ["ftp://a", "a.example/v1", "http://", "http:///v1", "http://me:key@a/v1", "http://a b"],
    "cors_origins": ["a.example", "https://a.example/", "https://", ", ,"],
    "trusted_proxies": ["10.0.0.0/33", "10.0.0.0/+8", "::ffff:10.0.0.0/104", "proxy.example"],
    "groq_api_key": ["two words", "a\r\nb"],
    "upstream_api_key": ["schlüssel"],
    "openai_api_key": ["\udcff"],
    "log_level": ["loud"],
    "log_format": ["xml"],
    "history_url": ["mongodb://a"],
    "poller": ["uring"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in INVALID.items() for text in texts])
def test_invalid_value_error_has_setting_value_and_accepted_values(name: str, text: str) -> None:
    message = refused(**{name: text})

    assert message.startswith(f"{name.upper()}: got ")
    assert message.endswith(f", takes {SETTINGS[name].kind.takes}")
    assert len(message) < 500
    if not SETTINGS[name].secret and "@" not in text:
        assert repr(text[:80]) in message


@pytest.mark.parametrize("text", ["gap=fast", "spede=3", "fault=reset"])
def test_grammar_error_has_the_same_message_as_over_http(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)

    assert refused(sim=text) == f"SIM: got {text!r}: {caught.value.message}"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_invalid_value_with_a_line_break_is_one_line(hostile: str) -> None:
    assert refused(sim=hostile).isprintable()
    assert refused(port=hostile).isprintable()


# Secrets


@pytest.mark.parametrize("name", ["api_key", "groq_api_key", "openai_api_key", "upstream_api_key"])
def test_keys_are_secrets(name: str) -> None:
    assert SETTINGS[name].secret


@pytest.mark.parametrize(
    "texts",
    [
        {"api_key": "s3cret,sha256:s3cret"},
        {"upstream_url": "https://me:s3cret@a.example/v1"},
        {"host": "0.0.0.0", "groq_api_key": "s3cret", "openai_api_key": "s3cret"},
    ],
    ids=str,
)
def test_error_shows_no_secret(texts: dict[str, str]) -> None:
    assert "s3cret" not in refused(**texts)


# Precedence


def test_first_source_with_a_value_wins() -> None:
    loaded = load({"PORT": "1", "HOST": None}, {"PORT": "2", "HOST": "::1"}, {"HOST": "a", "MODEL": "m"})

    assert (loaded.port, loaded.host, loaded.model, loaded.workers) == (1, "::1", "m", 1)


@pytest.mark.parametrize("nothing", ["", " ", "\t\n"])
def test_empty_text_counts_as_not_set(nothing: str) -> None:
    assert load({"PORT": nothing, "API_KEY": nothing}, {"PORT": "7"}) == Settings(port=7)


def test_unknown_environment_variables_are_ignored() -> None:
    assert load({"PATH": "/bin", "NONSENSE": "1"}) == Settings()


def test_invalid_value_in_a_later_source_is_ignored() -> None:
    assert load({"PORT": "7"}, {"PORT": "nonsense"}).port == 7


# Combinations


@pytest.mark.parametrize(
    ("texts", "upstream", "key"),
    [
        ({}, None, None),
        ({"GROQ_API_KEY": "g"}, GROQ_URL, "g"),
        ({"OPENAI_API_KEY": "o"}, None, "o"),
        ({"UPSTREAM_URL": "http://a/v1"}, "http://a/v1", None),
        ({"UPSTREAM_URL": "http://a/v1", "GROQ_API_KEY": "g", "OPENAI_API_KEY": "o"}, "http://a/v1", "g"),
        ({"UPSTREAM_URL": "http://a/v1", "OPENAI_API_KEY": "o"}, "http://a/v1", "o"),
        ({"UPSTREAM_URL": "http://a/v1", "UPSTREAM_API_KEY": "u", "GROQ_API_KEY": "g"}, "http://a/v1", "u"),
    ],
)
def test_upstream_and_key_follow_the_settings(texts: dict[str, str], upstream: str | None, key: str | None) -> None:
    loaded = load(texts)

    assert (loaded.upstream, loaded.upstream_key) == (upstream, key)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_upstream_without_a_key_is_not_served_beyond_loopback(host: str) -> None:
    message = refused(host=host, groq_api_key="g")

    assert message.startswith(f"HOST: got {host!r} with an upstream and no API_KEY")
    assert "ALLOW_ANONYMOUS=true" in message


@pytest.mark.parametrize(
    "texts",
    [
        {"HOST": "127.0.0.1", "GROQ_API_KEY": "g"},
        {"HOST": "::1", "GROQ_API_KEY": "g"},
        {"HOST": "localhost", "GROQ_API_KEY": "g"},
        {"HOST": "0.0.0.0"},
        {"HOST": "0.0.0.0", "GROQ_API_KEY": "g", "API_KEY": "a"},
        {"HOST": "0.0.0.0", "GROQ_API_KEY": "g", "ALLOW_ANONYMOUS": "true"},
    ],
    ids=str,
)
def test_permitted_combinations_start(texts: dict[str, str]) -> None:
    assert load(texts).host == texts["HOST"]


# Metadata of the fields


def test_shown_default_of_each_setting_is_a_valid_value() -> None:
    for name, about in SETTINGS.items():
        text = format_value(about.default, about.kind)
        assert about.default in {None, ()} if text == "none" else about.kind.read(text) == about.default, name


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ((), kinds.API_KEYS, "none"),
        (None, kinds.TEXT, "none"),
        (0.25, kinds.DURATION, "0.25s"),
        (10.0, kinds.DURATION, "10s"),
        (1024**2, kinds.SIZE, "1MiB"),
        (16 * 1024, kinds.SIZE, "16KiB"),
        (1_000, kinds.SIZE, "1000"),
        (False, kinds.BOOLEAN, "false"),
        (10.0, kinds.NUMBER, "10"),
        (8080, kinds.integer(0, 65535), "8080"),
        ("gap=100ms", kinds.SIMULATION, "gap=100ms"),
    ],
)
def test_values_are_shown_in_the_settings_syntax(value: object, kind: kinds.Kind, text: str) -> None:
    assert format_value(value, kind) == text


def test_unavailable_poller_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.epoll")

    assert refused(poller="epoll").startswith("POLLER: got 'epoll', which this platform lacks; takes auto, ")
    assert load({"POLLER": "selectors"}).poller == "selectors"


@pytest.mark.parametrize(
    ("missing", "environment", "expected"),
    [
        ("_sqlite3", {"HISTORY_URL": "sqlite:///chat.db"}, "HISTORY_URL: got 'sqlite:///chat.db', and this Python"),
        ("_ssl", {"UPSTREAM_URL": "https://example.com"}, "UPSTREAM_URL: an upstream needs TLS"),
        ("_ssl", {"GROQ_API_KEY": "k"}, "GROQ_API_KEY: an upstream needs TLS"),
        ("redis", {"LIMITS_URL": "redis://localhost"}, "LIMITS_URL: got redis://, which needs the extra redis"),
    ],
)
def test_module_missing_in_an_image_is_refused_with_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, missing: str, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(installation, "has_module", lambda name: name != missing)

    with pytest.raises(InvalidSetting) as caught:
        load(environment)
    assert str(caught.value).startswith(expected)
    assert "the full container image" in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"UPSTREAM_URL": "https://example.com"}, "UPSTREAM_URL: got 'https://example.com', and there are no CA"),
        (
            {"REDIS_URL": "rediss://user:secret@localhost"},
            "HISTORY_URL: got rediss://, and there are no CA certificates",
        ),
    ],
)
def test_tls_without_any_certificate_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(installation, "has_certificates", lambda: False)

    with pytest.raises(InvalidSetting) as caught:
        load(environment)
    assert str(caught.value).startswith(expected)
    assert "SSL_CERT_FILE" in str(caught.value)
    assert load({"UPSTREAM_URL": "http://localhost"}).upstream == "http://localhost"


@pytest.mark.parametrize("suffix", ["/chat/completions", "/chat/completions/", "/models"])
def test_address_of_a_route_of_the_upstream_is_refused(suffix: str) -> None:
    url = f"http://127.0.0.1:1/v1{suffix}"
    assert refused(upstream_url=url) == f"UPSTREAM_URL: got {url!r}: takes the address before {suffix.rstrip('/')}"


def test_unwritable_history_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "chat.db"
    file.write_text("it may not be readable either", encoding="utf-8")
    monkeypatch.setattr(installation, "can_write", lambda path: path != str(file))

    assert refused(history_url=f"sqlite:///{file}").startswith(
        f"HISTORY_URL: got 'sqlite:///{file}', which is not writable (read-only file system"
    )


def test_history_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Notes", encoding="utf-8")
    for path in (tmp_path / "notes.txt", tmp_path):
        url = f"sqlite:///{path}"
        assert refused(history_url=url) == (
            f"HISTORY_URL: got {url!r}, which is not an SQLite database; takes a database or a new file"
        )


def test_vllm_metrics_require_one_worker() -> None:
    message = refused(metrics_vllm="true", workers="2", history_url="redis://localhost")

    assert message == "METRICS_VLLM: got true with WORKERS=2, which count separately; takes WORKERS=1"
