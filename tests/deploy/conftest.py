import pytest

from tests.deploy.helm import BUILD_S, Helm, find_helm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "helm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(BUILD_S))


@pytest.fixture(scope="session")
def helm() -> Helm:
    path, reason = find_helm()
    if not path:
        pytest.skip(reason)
    return Helm(path)
