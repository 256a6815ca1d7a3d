"""Fixtures for every test: the same test on every array library.

`library` is the name of a library; `backend32` and `backend64` are its backends of that float
dtype, with their scope entered; `backend` is `backend32` and `xp` is `backend64`'s namespace.
A test takes one dtype or the other. By hand: ``libraries.make_backend(name, dtype)``.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from chainrule.backends import Backend
from libraries import PARAMS, make_backend, required

try:
    import hypothesis
except ImportError:  # a GPU machine may have no more than pytest
    hypothesis = None
else:
    _SUPPRESSED = (
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,  # backends are immutable
    )
    hypothesis.settings.register_profile("local", deadline=None, suppress_health_check=_SUPPRESSED)
    hypothesis.settings.register_profile(
        "ci", deadline=None, derandomize=True, suppress_health_check=_SUPPRESSED
    )


def pytest_configure(config: pytest.Config) -> None:
    if not any(line.startswith("cuda:") for line in config.getini("markers")):
        config.addinivalue_line("markers", "cuda: needs a CUDA device")
    if hypothesis is not None:
        hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")
    required()


@pytest.fixture(params=PARAMS)
def library(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def backend32(library: str) -> Iterator[Backend]:
    backend = make_backend(library, "float32")
    with backend.scope():
        yield backend


@pytest.fixture
def backend64(library: str) -> Iterator[Backend]:
    backend = make_backend(library, "float64")
    with backend.scope():
        yield backend


@pytest.fixture
def backend(backend32: Backend) -> Backend:
    return backend32


@pytest.fixture
def xp(backend64: Backend) -> Any:
    return backend64.xp


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory):
    """Keep the tests' machine code out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    return _without_missing_packages((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    return _without_missing_packages((yield))


def _without_missing_packages(report: Any) -> Any:
    """Fail, where CHAINRULE_REQUIRE is set, what is skipped for a package that is missing."""
    if required() and report.outcome == "skipped":
        reason = str(report.longrepr)
        if "could not import" in reason and "'cupy" not in reason:
            report.outcome = "failed"
    return report
