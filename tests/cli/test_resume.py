"""`chainrule train --resume`: as if nothing had happened, bit for bit."""

import json
import signal
import time
from pathlib import Path

import pytest

from cli.tables import process

SETTINGS = ("--hidden", 8, "--dropout", 0.2, "--epochs", 6, "--checkpoint-every", 2)


def model(run: str) -> bytes:
    return Path(run, "model.safetensors").read_bytes()


def losses(run: str) -> list[float]:
    lines = Path(run, "history.jsonl").read_text().splitlines()
    return [json.loads(line)["val_loss"] for line in lines]


def test_a_run_stopped_by_its_time_budget_goes_on(good, people):
    good("train", people, *SETTINGS, "--out", "whole")
    stopped = good("train", people, *SETTINGS, "--out", "parts", "--time-budget", 0)
    assert stopped["epochs"] == 1
    finished = good("train", people, "--out", "parts", "--resume")
    assert (finished["epochs"], finished["steps"]) == (6, 12)
    assert model("parts") == model("whole")
    assert losses("parts") == losses("whole")


def test_a_run_goes_on_in_the_middle_of_an_epoch(good, people):
    settings = (*SETTINGS[:-1], 1, "--batch-size", 9)
    good("train", people, *settings, "--out", "whole")
    good("train", people, *settings, "--out", "parts", "--epochs", 2)
    newest = sorted(Path("parts/checkpoints").iterdir())[-1]
    assert newest.name == "step-000000012.safetensors"
    newest.unlink()
    finished = good("train", people, "--out", "parts", "--resume", "--epochs", 6)
    assert finished["steps"] == 36
    assert model("parts") == model("whole")
    assert losses("parts") == losses("whole")


def test_patience_may_begin_or_end_with_a_resume(good, people):
    good("train", people, *SETTINGS, "--out", "a", "--time-budget", 0)
    assert good("train", people, "--out", "a", "--resume", "--patience", 3)["epochs"] <= 6
    good("train", people, *SETTINGS, "--out", "b", "--time-budget", 0, "--patience", 2)
    assert good("train", people, "--out", "b", "--resume", "--epochs", 3)["epochs"] == 3


def test_without_out_the_newest_run_goes_on(good):
    good("train", "xor", *SETTINGS)
    good("train", "xor", *SETTINGS, "--time-budget", 0)
    assert good("train", "xor", "--resume")["run"] == "runs/xor-2"


def test_an_interrupt_names_the_checkpoint_and_the_run_goes_on(tmp_path, good, people):
    settings = ("--hidden", 8, "--epochs", 3000, "--checkpoint-every", 100)
    good("train", people, *settings, "--out", "whole")
    began = process(tmp_path, "train", people, *settings, "--out", "parts", "--quiet")
    for _ in range(1000):
        if list(tmp_path.glob("parts/checkpoints/step-*.safetensors")):
            break
        time.sleep(0.01)
    began.send_signal(signal.SIGINT)
    output, messages = began.communicate(timeout=60)
    assert began.returncode == 130
    assert output == ""
    assert messages.count("\n") == 1
    assert messages.startswith("chainrule: interrupted; the last checkpoint is parts/checkpoints/")
    assert "go on with --resume" in messages
    assert good("train", people, "--out", "parts", "--resume")["epochs"] == 3000
    assert model("parts") == model("whole")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--hidden", 9), "--hidden=9: the run was started with 8; leave it out"),
        (("--seed", 1), "--seed=1: the run was started with 0"),
        (("--lr", 0.5), "--lr=0.5: the run was started with 0.002"),
        (("--clip-norm", 1), "--clip-norm=1.0: the run was started without it"),
        (("--dtype", "float64"), "--dtype=float64: the run was started with float32"),
        (("--backend", "torch"), "--backend=torch: the run was started with numpy:cpu"),
        (("--batch-size", 5), "--batch-size=5: the run was started with 32"),
        (("--deterministic",), "--deterministic=True: the run was started with False"),
        (
            ("--matmul-precision", "tf32"),
            "--matmul-precision=tf32: the run was started with float32",
        ),
    ],
)
def test_a_changed_setting_is_refused(run, good, more, message):
    good("train", "xor", *SETTINGS)
    result = run("train", "xor", "--resume", *more)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"chainrule: error: {message}")


def test_the_same_settings_may_be_given_again(good):
    first = good("train", "xor", *SETTINGS, "--backend", "numpy")
    again = good("train", "xor", *SETTINGS, "--backend", "numpy", "--resume")
    assert (again["steps"], again["run"]) == (first["steps"], first["run"])
    assert good("train", "xor", "--backend", "auto", "--resume")["loss"] == first["loss"]


def test_changed_data_is_refused(run, good, people):
    good("train", people, *SETTINGS)
    people.write_text(people.read_text().replace("red", "green", 1))
    result = run("train", people, "--resume")
    assert result.exit_code == 2
    assert "is not what the run in runs/people was started with" in result.stderr


def test_nothing_to_resume_is_said(run, good):
    result = run("train", "xor", "--resume")
    assert result.exit_code == 2
    assert "runs/xor: no such folder" in result.stderr
    good("train", "xor", "--epochs", 1)
    result = run("train", "xor", "--resume")
    assert result.exit_code == 2
    assert "runs/xor holds no checkpoint; a run can be resumed if it was started" in result.stderr


@pytest.mark.parametrize("content", ["{}", '{"settings": {"target": 1}}', '{"settings": []}'])
def test_broken_settings_are_named(run, good, content):
    good("train", "xor", *SETTINGS)
    Path("runs/xor/run.json").write_text(content)
    result = run("train", "xor", "--resume")
    assert result.exit_code == 2
    assert "runs/xor/run.json: expected settings with target, task" in result.stderr
