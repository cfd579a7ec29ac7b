import os
import sqlite3
import ssl
from contextlib import closing
from pathlib import Path

import pytest

from tokenfall import installation


def test_module_is_found_without_importing_it() -> None:
    assert installation.has_module("sqlite3")
    assert not installation.has_module("tokenfall_of_another_name")
    assert not installation.has_module("tokenfall_of_another_name.part")


def test_ssl_cert_file_provides_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert not installation.has_certificates()

    (tmp_path / "ca.pem").write_text("a certificate", encoding="utf-8")
    assert installation.has_certificates()


def test_empty_certificate_folder_provides_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert ssl.get_default_verify_paths().capath == str(tmp_path)
    assert not installation.has_certificates()

    (tmp_path / "1234.0").write_text("a certificate", encoding="utf-8")
    assert installation.has_certificates()


def test_databases_and_new_files_can_be_used_by_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    assert installation.is_sqlite_database(str(file))
    for written, expected in [(b"", True), (b"SQLite", False), (b"# Notes\n" * 99, False)]:
        file.write_bytes(written)
        assert installation.is_sqlite_database(str(file)) == expected
    file.unlink()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE kept (text)")
    assert installation.is_sqlite_database(str(file))
    assert not installation.is_sqlite_database(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert not installation.is_sqlite_database(str(tmp_path / "pipe"))


def test_existing_or_creatable_file_is_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    Path("chat.db").touch()
    assert installation.can_write("chat.db")
    assert installation.can_write(str(tmp_path / "new.db"))

    denied = {"kept", "chat.db"}  # root may write everywhere, so the result of `os.access` is replaced
    monkeypatch.setattr(os, "access", lambda path, mode: path not in denied)
    assert not installation.can_write("chat.db")
    assert not installation.can_write("kept/new.db")
    assert installation.can_write("new.db")
