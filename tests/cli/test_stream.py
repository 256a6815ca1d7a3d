"""``chainrule train --stream``: where the data are changes nothing else."""

import pytest

from chainrule.train import feeding


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(feeding, "HALF_BYTES", 20_000)


def test_streaming_changes_nothing_else(good):
    runs = [
        good("train", "digits", "--epochs", 2, "--stream", how, "--out", f"runs/{how}")
        for how in ("auto", "off", "on")
    ]
    assert [run["streamed"] for run in runs] == [False, False, True]
    for name in ("accuracy", "loss", "steps"):
        assert runs[0][name] == runs[1][name] == runs[2][name]


def test_a_resumed_run_may_be_told_otherwise(good):
    asked = ("train", "digits", "--checkpoint-every", 20)
    whole = good(*asked, "--epochs", 3, "--out", "runs/whole")
    good(*asked, "--epochs", 1, "--out", "runs/cut", "--stream", "on")
    rest = ("train", "digits", "--out", "runs/cut", "--resume", "--epochs", 3)
    cut = good(*rest, "--stream", "off")
    assert not cut["streamed"]
    assert (cut["accuracy"], cut["loss"]) == (whole["accuracy"], whole["loss"])


def test_what_auto_chose_is_said(run, monkeypatch):
    monkeypatch.setattr(feeding, "free_memory", lambda backend: 1000)
    result = run("train", "iris", "--backend", "numpy", "--epochs", 1)
    lines = [line for line in result.stderr.splitlines() if "streaming" in line]
    assert lines == [
        "chainrule: streaming: the data take 3,000 bytes, more than 50% of the 1,000 free on cpu"
    ]
    assert "numpy (cpu, streamed)" in result.stdout
    quiet = run("train", "iris", "--backend", "numpy", "--epochs", 1, "--quiet")
    assert "streaming" not in quiet.stderr


def test_an_unknown_way(run):
    result = run("train", "digits", "--stream", "of")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(
        "chainrule: error: --stream='of' is unknown (did you mean 'off'?)"
    )
