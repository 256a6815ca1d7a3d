"""Machine code on disk: found again, made again where damaged, never taken from strangers."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from backends.test_native_models import Problem, run
from chainrule import tree

pytest.importorskip("llvmlite")

from chainrule.backends.native import cache, machine
from chainrule.backends.native.steps import NativeSteps

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")
not_root = pytest.mark.skipif(
    hasattr(os, "getuid") and os.getuid() == 0, reason="root may write anywhere"
)

PROBLEM = Problem(
    cr.Sequential(cr.Dense(3), cr.Tanh(), cr.Dense(2)), cr.losses.SquaredError(), cr.sgd(0.1), (),
    (4,), 6, 6, 2, False, "float64", 1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))


def result() -> dict[str, Any]:
    """Run the problem in a program of its own."""
    state, _ = run(NativeSteps(PROBLEM.step()), PROBLEM.state(), PROBLEM.data(), PROBLEM.controls())
    return {name: np.asarray(leaf).tobytes() for name, leaf in tree.flatten(state).items()}


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were compiled."""
    texts: list[str] = []
    real = machine.machine_code

    def counted(text: str) -> bytes:
        texts.append(text)
        return real(text)

    monkeypatch.setattr(machine, "machine_code", counted)
    return texts


def files() -> list[Path]:
    place = cache.folder()
    assert place is not None
    return sorted(place.iterdir())


def test_a_second_construction_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    first = result()

    def refuse(text: str) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(machine, "machine_code", refuse)
    assert result() == first
    assert len(files()) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda held: b"",
        lambda held: held[:16],
        lambda held: held[:-1],
        lambda held: held + b"\0",
        lambda held: held[:100] + bytes([held[100] ^ 1]) + held[101:],
        lambda held: bytes([held[0] ^ 1]) + held[1:],
        lambda held: b"\0" * len(held),
    ],
    ids=["empty", "digest cut", "cut", "longer", "bit of code", "bit of digest", "zeros"],
)
def test_a_damaged_file_is_made_again(damage: Any, compilations: list[str]) -> None:
    first = result()
    (path,) = files()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert result() == first
    assert len(compilations) == 2
    assert path.read_bytes()[:32] == whole[:32] or len(files()) == 1
    result()
    assert len(compilations) == 2


@posix
@pytest.mark.parametrize("mode", [stat.S_IWGRP, stat.S_IWOTH], ids=["group", "others"])
def test_a_folder_that_others_can_write_to_is_not_used(mode: int, compilations: list[str]) -> None:
    result()
    (path,) = files()
    path.parent.chmod(0o700 | mode)
    assert cache.folder() is None
    result()
    assert len(compilations) == 2


@posix
@pytest.mark.parametrize("mode", [stat.S_IWGRP, stat.S_IWOTH], ids=["group", "others"])
def test_a_file_that_others_can_write_to_is_not_used(mode: int, compilations: list[str]) -> None:
    result()
    (path,) = files()
    path.chmod(0o600 | mode)
    result()
    assert len(compilations) == 2


@posix
def test_a_link_to_a_folder_is_not_used(tmp_path: Path, compilations: list[str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "chainrule").mkdir(mode=0o700)
    (tmp_path / "chainrule" / "native").symlink_to(elsewhere)
    assert cache.folder() is None
    result()
    assert list(elsewhere.iterdir()) == []


@posix
def test_a_link_to_a_file_is_not_used(tmp_path: Path, compilations: list[str]) -> None:
    result()
    (path,) = files()
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    result()
    assert len(compilations) == 2


@posix
@not_root
def test_a_folder_that_cannot_be_written_to_is_no_obstacle(compilations: list[str]) -> None:
    first = result()
    (path,) = files()
    path.unlink()
    path.parent.chmod(0o500)
    assert result() == first
    assert len(compilations) == 2


def test_a_file_in_the_folders_place_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "chainrule").write_text("in the way")
    assert cache.folder() is None
    assert result()


def test_no_home_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, "not/absolute")
    assert cache.folder() is None
    assert result()


def test_the_oldest_files_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache.folder()
    assert place is not None
    for number in range(4):
        cache.save(f"file{number}", bytes(100))
        os.utime(place / f"file{number}", (number, number))
    monkeypatch.setattr(cache, "LARGEST", 300)
    cache.save("new", bytes(100))
    assert {path.name for path in place.iterdir()} == {"file3", "new"}


def test_what_was_used_lately_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    place = cache.folder()
    assert place is not None
    for number in range(3):
        cache.save(f"file{number}", bytes(100))
        os.utime(place / f"file{number}", (number, number))
    assert cache.load("file0") == bytes(100)
    monkeypatch.setattr(cache, "LARGEST", 300)
    cache.save("new", bytes(100))
    assert {path.name for path in place.iterdir()} == {"file0", "new"}


def test_the_name_follows_text_and_processor() -> None:
    names = {cache.name_of(text, made) for text in "ab" for made in "xy"}
    assert len(names) == 4
    assert cache.name_of("a", "x") == cache.name_of("a", "x")


SCRIPT = """
import numpy as np, chainrule as cr, sys
x = np.linspace(-1, 1, 40).reshape(10, 4)
trainer = cr.Trainer(cr.Sequential(cr.Dense(3), cr.Tanh(), cr.Dense(1)), "squared_error",
                     cr.sgd(0.1), dtype="float64", compile=True)
trainer.fit(x, x[:, :1], epochs=2, batch_size=4, progress="off")
assert trainer.compiled
print(trainer.params["0"]["weight"].tobytes().hex())
"""


def test_processes_may_share_the_folder() -> None:
    """Several processes that start at once compute the same, and leave whole files."""
    script = [sys.executable, "-c", SCRIPT]
    started = [
        subprocess.Popen(script, stdout=subprocess.PIPE, env=environment(), text=True)
        for _ in range(3)
    ]
    printed = {process.communicate(timeout=120)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(printed) == 1
    names = [path.name for path in files()]
    assert len(names) == 2  # whole batches, and the tail
    assert all(cache.load(name) is not None for name in names)


def environment() -> dict[str, str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
