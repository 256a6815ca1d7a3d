"""Every example runs in a folder of its own and learns; the tutorial runs from top to bottom."""

import doctest
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import chainrule
from chainrule.optim import OPTIMIZERS

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TUTORIAL = ROOT / "docs" / "tutorial.md"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
Run = Callable[..., str]


def run_script(script: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    package = Path(chainrule.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": path, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(script), *options],
        cwd=folder,
        env=env | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return cache(lambda name: tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def output(folders: Callable[[str], Path]) -> Run:
    """Return a function that gives a script's output; each script runs once."""

    @cache
    def run(name: str) -> str:
        done = run_script(EXAMPLES / f"{name}.py", folders(name))
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def after(label: str, text: str) -> float:
    """Return the first number behind a label."""
    return numbers(text[text.index(label) + len(label) :])[0]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_draws_only_its_figure(
    script: Path, output: Run, folders: Callable[[str], Path]
) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 50
    output(script.stem)
    drawn = [path.name for path in folders(script.stem).iterdir()]
    assert drawn == ([] if script.stem == "custom_layer" else [f"{script.stem}.png"])


def test_every_file_is_covered() -> None:
    others = {"README.md", "bearings.csv", "plots.mplstyle"}
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    checked = {name.removeprefix("test_") + ".py" for name in globals() if name.startswith("test_")}
    assert files - others <= checked
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(name in readme for name in files - {"README.md"})


def test_linear_regression(output: Run) -> None:
    rows = [numbers(line[2:]) for line in output("linear_regression").splitlines()[1:]]
    assert [row[0] for row in rows] == [2.0, -3.0, 0.5, 1.0]
    for true, closed_form, by_hand, learned in rows:
        assert abs(closed_form - true) < 0.15
        assert by_hand == pytest.approx(closed_form, abs=1e-3)
        assert learned == pytest.approx(by_hand, abs=1e-4)


def test_xor(output: Run) -> None:
    rows = [numbers(line) for line in output("xor").splitlines()[1:]]
    assert [row[:3] for row in rows] == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    for _, _, truth, linear, hidden in rows:
        assert linear == pytest.approx(0.5, abs=1e-3)
        assert abs(hidden - truth) < 0.05


def test_deep_network(output: Run) -> None:
    *iterations, last = output("deep_network").splitlines()
    steps, losses = zip(*map(numbers, iterations), strict=True)
    assert list(steps) == list(range(100, 1100, 100))
    assert losses[-1] < 0.1 * losses[0]
    assert after("4 layers; accuracy on 600 new points", last) > 95


def test_gradient_check(output: Run) -> None:
    text = output("gradient_check")
    assert after("largest relative error", text) < 1e-8
    ratio = re.search(r"([\d,]+) times slower than backpropagation", text)
    assert ratio is not None
    assert numbers(ratio[1])[0] > 20
    for order, step, error in ((2, 6e-6, 1e-9), (4, 7e-4, 1e-10)):
        found = re.search(rf"order {order}: best step (\S+), error (\S+)", text)
        assert found is not None
        assert step / 20 < float(found[1]) < step * 20
        assert float(found[2]) < error


def test_optimizer_race(output: Run) -> None:
    rows = [line.rstrip("%").rsplit(maxsplit=2) for line in output("optimizer_race").splitlines()]
    ranks, names = zip(*(name.split(maxsplit=1) for name, _, _ in rows[1:]), strict=True)
    assert list(map(int, ranks)) == list(range(1, 13))
    assert {name.partition(",")[0] for name in names} == {*OPTIMIZERS}
    losses = [float(loss) for _, loss, _ in rows[1:]]
    assert all(before <= later for before, later in pairwise(losses))
    assert all(float(accuracy) > 75 for _, _, accuracy in rows[1:])


def test_digits(output: Run) -> None:
    sizes, scores, *mistakes = output("digits").splitlines()
    assert numbers(sizes) == [1348, 449]
    accuracy = after("accuracy", scores)
    assert accuracy > 95
    wrong = sum(numbers(line)[2] for line in mistakes)
    assert 100 * wrong / 449 == pytest.approx(100 - accuracy, abs=0.06)


def test_csv_classification(output: Run) -> None:
    text = output("csv_classification")
    assert "machine=grinder, machine=lathe, machine=mill, hours, temperature_c" in text
    assert after("linear model:", text) < 75 < 80 < after("hidden layer:", text)
    assert set(text.splitlines()[-1].partition(": ")[2].split(", ")) <= {"yes", "no"}


def test_custom_layer(output: Run) -> None:
    text = output("custom_layer")
    assert "passed" in text
    assert re.search(r"Sine\(\) +frequency", text)
    assert after("Tanh(): R²", text) < 0.5 < 0.99 < after("Sine(): R²", text)


def test_a_network_that_cannot_learn_fails(tmp_path: Path) -> None:
    done = run_script(EXAMPLES / "deep_network.py", tmp_path, "--hidden", "1")
    assert done.returncode == 1
    assert done.stderr == "the network did not learn the spirals\n"


def test_another_library_and_another_place(output: Run, tmp_path: Path) -> None:
    pytest.importorskip("array_api_strict")
    options = ("--backend", "strict", "--plot", "figure.png")
    done = run_script(EXAMPLES / "linear_regression.py", tmp_path, *options)
    assert (done.returncode, done.stdout) == (0, output("linear_regression"))
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def blocks() -> Iterator[tuple[str, str, int]]:
    """Yield (kind, text, line) of the tutorial's fenced blocks."""
    text = TUTORIAL.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1], found[2], text.count("\n", 0, found.start()) + 2


def test_the_tutorial_shows_code_that_exists() -> None:
    files = [*SCRIPTS, *(ROOT / "src" / "chainrule").rglob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in files]
    for kind, text, line in blocks():
        if kind == "python":
            forms = (f"\n{text}", "\n" + textwrap.indent(text, "    "))
            found = any(form in f"\n{source}" for source in sources for form in forms)
            assert found, f"tutorial.md:{line}: this block is in no example and no source file"


def test_the_tutorial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    for kind, text, line in blocks():
        if kind == "python":
            exec(compile("\n" * (line - 1) + text, str(TUTORIAL), "exec"), namespace)
        elif kind == "pycon":
            parsed = doctest.DocTestParser().get_doctest(text, namespace, "tutorial", None, line)
            complaints: list[str] = []
            runner = doctest.DocTestRunner(verbose=False)
            runner.run(parsed, out=complaints.append, clear_globs=False)
            assert not complaints, "".join(complaints)
            namespace.update(parsed.globs)


def test_the_tutorial_shows_what_the_scripts_print(output: Run) -> None:
    def shape(line: str) -> str:
        return " ".join(NUMBER.sub("#", line).split())

    chapters = re.split(r"^## ", TUTORIAL.read_text(encoding="utf-8"), flags=re.MULTILINE)
    shown = 0
    for chapter in chapters:
        for text in re.findall(r"^```text\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL):
            script = re.search(r"^Script: \[(\w+)\.py\]", chapter, re.MULTILINE)
            assert script is not None
            printed = {shape(line) for line in output(script[1]).splitlines()}
            assert {shape(line) for line in text.splitlines()} <= printed
            shown += 1
    assert shown == len(SCRIPTS)


def test_the_tutorial_links_to_what_exists() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert links
    assert [link for link in links if not (TUTORIAL.parent / link).exists()] == []
    every = {path.name for path in (ROOT / "docs" / "img").glob("*.png")}
    images = {name for name in every if not name.startswith("bench-")}
    assert images == {Path(link).name for link in links if link.endswith(".png")}
    assert all((ROOT / "docs" / "img" / name).read_bytes()[:4] == b"\x89PNG" for name in images)
