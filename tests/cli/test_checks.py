"""`chainrule gradcheck` and `certify`: what they print, and their exit codes."""

from dataclasses import dataclass

import pytest

import chainrule as cr
from chainrule import certify as certifying
from chainrule import gradcheck as checking
from chainrule.layers import LAYERS
from chainrule.losses import LOSSES


@dataclass(frozen=True)
class Verdict:
    """Stands for a report and a certificate."""

    passed: bool

    def __str__(self) -> str:
        return "a table"

    def to_json(self) -> dict:
        return {"passed": self.passed, "drift": float("nan")}


def test_every_layer_and_loss_is_checked(run):
    result = run("gradcheck", "--seed", 1)
    assert result.exit_code == 0
    for name in (*LAYERS, *LOSSES):
        assert name in result.stdout
    count = len(result.stdout.splitlines()) - 1
    assert result.stdout.splitlines()[-1] == f"{count} of {count} passed"


def test_a_wrong_gradient_shows_its_report_and_exits_with_1(run, monkeypatch):
    reports = [("right", Verdict(True)), ("wrong", Verdict(False))]
    monkeypatch.setattr(checking, "check_all", lambda seed: reports)
    result = run("gradcheck")
    assert result.exit_code == 1
    assert result.stdout == "passed  right\nFAILED  wrong\na table\n1 of 2 passed\n"
    assert result.stderr == ""


@pytest.mark.parametrize("data", ["iris", "linear"])
def test_a_run_is_checked_by_its_own_network_and_loss(run, data):
    assert run("train", data, "--epochs", 1, "--hidden", 4, "--batch-norm").exit_code == 0
    result = run("gradcheck", f"runs/{data}")
    assert result.exit_code == 0
    loss = "softmax_cross_entropy" if data == "iris" else "squared_error"
    for word in ("Dense(4)", "BatchNorm()", loss, "passed: largest relative error"):
        assert word in result.stdout


def test_a_yes_or_no_network_is_checked_too(run):
    cr.Trainer(cr.Dense(2), "sigmoid_cross_entropy").build((3,)).save("mine")
    assert run("gradcheck", "mine").exit_code == 0


def test_a_wrong_gradient_of_a_run_exits_with_1(run, monkeypatch):
    cr.Trainer(cr.Dense(2), "sigmoid_cross_entropy").build((3,)).save("mine")
    monkeypatch.setattr(checking, "check_gradients", lambda *_, **__: Verdict(False))
    result = run("gradcheck", "mine")
    assert (result.exit_code, result.stdout) == (1, "a table\n")


def test_gradcheck_names_what_it_cannot_use(run):
    result = run("gradcheck", "runs/none")
    assert result.exit_code == 2
    assert "runs/none: no such folder" in result.stderr


def test_certify_prints_a_verdict(run, good):
    arguments = ("certify", "xor", "--backends", "numpy, strict", "--steps", 3)
    result = run(*arguments)
    assert result.exit_code == 0
    assert "PASSED" in result.stdout.splitlines()[-1]
    assert good(*arguments)["passed"] is True


def test_certify_passes_its_options_on_and_a_drift_exits_with_1(run, monkeypatch):
    seen = []

    def certify(dataset, backends, **options):
        seen.append((dataset, backends, options))
        return Verdict(False)

    monkeypatch.setattr(certifying, "certify", certify)
    result = run("certify", "digits", "--seed", 4, "--steps", 7, "--json", "--deterministic")
    assert result.exit_code == 1
    assert result.stdout == '{"passed": false, "drift": null}\n'
    backends = ["numpy", "torch", "jax", "strict"]
    assert seen == [("digits", backends, {"seed": 4, "steps": 7, "deterministic": True})]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("irsi",), "dataset='irsi' is unknown (did you mean 'iris'?)"),
        (("xor", "--backends", "nump"), "backend='nump' is unknown (did you mean 'numpy'?)"),
        (("xor", "--backends", ","), "backends=[]: expected"),
        (("xor", "--backends", "numpy", "--steps", 0), "steps=0: expected a positive integer"),
    ],
)
def test_certify_names_what_it_cannot_use(run, arguments, message):
    result = run("certify", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
