from tokenfall.slices import Sliced, at_once


def test_at_once_runs_all_slices() -> None:
    log: list[int] = []

    def counting() -> Sliced[str]:
        for number in range(3):
            log.append(number)
            yield
        return "done"

    assert at_once(counting()) == "done"
    assert log == [0, 1, 2]
