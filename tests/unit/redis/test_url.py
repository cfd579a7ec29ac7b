from pathlib import Path

import pytest

from tokenfall.redis.url import check


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:secret@127.0.0.1:6379/15",
        "rediss://user:p%40ss@[::1]:6380/0?ssl_cert_reqs=none&ssl_check_hostname=false",
        "redis://h/?db=3&client_name=a",
    ],
)
def test_valid_url_is_parsed(url: str) -> None:
    check(url)


def test_tls_files_must_exist(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    check(f"rediss://h/0?ssl_ca_certs={tmp_path}/ca.pem&ssl_ca_path={tmp_path}")

    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path"):
        with pytest.raises(ValueError, match=f"{option} names '{tmp_path}/none', which does not exist"):
            check(f"rediss://h/0?{option}={tmp_path}/none")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis:///0", "host"),
        ("redis://secret@:6379", "host"),
        ("redis://secret@h:99999/0", "host"),
        ("redis://secret@h:port/0", "host"),
        ("redis://[::1/0", "host"),
        ("redis://secret@h/x", "the database 'x'"),
        ("redis://secret@h/-1", "the database '-1'"),
        ("redis://secret@h/?db=x", "the database 'x'"),
        ("redis://secret@h:0/", "host"),
        ("redis://secret@h/0?health_check_interval=x", "the health_check_interval 'x'"),
        ("rediss://secret@h/0?ssl_min_version=TLSv1", "the ssl_min_version 'TLSv1'"),
        ("rediss://secret@h/0?ssl_ca_cert=a", "unknown option 'ssl_ca_cert'"),
        ("redis://secret@h/0?protocol=3", "unknown option 'protocol'"),
        ("redis://secret@h/0?ssl_cert_reqs=none", "ssl_cert_reqs is an option of rediss:// only"),
        ("rediss://secret@h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs takes required, optional, none"),
    ],
)
def test_invalid_url_is_refused_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        check(url)

    assert "secret" not in str(refused.value)
