from pathlib import Path

from benchmarks.containers import charged_to

EXPECTED = {"peak_bytes": 9, "page_cache_bytes": 5, "anonymous_bytes": 3, "kernel_bytes": 1}


def _write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_memory_figures_are_read_from_cgroup_v1_files(tmp_path: Path) -> None:
    files = {
        "memory.stat": "cache 5\nrss 3\n",
        "memory.max_usage_in_bytes": "9\n",
        "memory.kmem.usage_in_bytes": "1\n",
    }
    assert charged_to(_write(tmp_path, files)) == EXPECTED


def test_memory_figures_are_read_from_cgroup_v2_files(tmp_path: Path) -> None:
    files = {"memory.stat": "anon 3\nfile 5\nkernel 1\n", "memory.peak": "9\n"}
    assert charged_to(_write(tmp_path, files)) == EXPECTED


def test_missing_memory_figures_are_omitted(tmp_path: Path) -> None:
    files = {"memory.stat": "anon 3\nfile 5\n"}
    assert charged_to(_write(tmp_path, files)) == {"page_cache_bytes": 5, "anonymous_bytes": 3}
