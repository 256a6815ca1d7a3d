"""Where the data of a fit lie unless it is said: on the device, as long as they fit there."""

from dataclasses import dataclass

import numpy as np

from chainrule.backends.numpy import NumpyBackend
from train.problems import blobs, make_trainer

X, Y = blobs(103)
WEIGHT = np.random.default_rng(5).uniform(0.5, 2.0, 103)
NEEDED = 103 * (4 + 1) * 4
"""Bytes of X and Y in float32."""


@dataclass(frozen=True)
class Small(NumpyBackend):
    """NumPy on a device that says how many bytes are free."""

    free: int = 0

    def free_memory(self):
        return self.free


def test_auto_streams_what_takes_more_than_half_of_the_free_memory(capsys):
    for free, streamed in ((2 * NEEDED, False), (2 * NEEDED - 1, True)):
        trainer = make_trainer(backend=Small(free=free))
        trainer.fit(X, Y, epochs=1, progress="lines")
        assert trainer.streamed is streamed
        said = capsys.readouterr().err.splitlines()
        reason = f"the data take 2,060 bytes, {'more than' if streamed else 'at most'} 50% of the "
        assert trainer.stream_reason == f"{reason}{free:,} free on cpu"
        line = f"chainrule: streaming: {trainer.stream_reason}"
        assert said.count(line) == streamed
        trainer.fit(X, Y, epochs=1, progress="off")
        assert "streaming" not in capsys.readouterr().err
    trainer.fit(X, Y, epochs=1, stream=False, progress="lines")
    assert (trainer.streamed, trainer.stream_reason) == (False, "stream=False")
    assert "streaming" not in capsys.readouterr().err


def test_auto_counts_validation_and_weights():
    for settings, needed in (
        ({"validation": 0.2}, 2 * NEEDED),
        ({"validation": (X[:50], Y[:50])}, NEEDED + 50 * 5 * 4),
        ({"sample_weight": WEIGHT}, NEEDED + 103 * 4),
    ):
        for free, streamed in ((2 * needed, False), (2 * needed - 1, True)):
            trainer = make_trainer(backend=Small(free=free))
            trainer.fit(X, Y, epochs=1, progress="off", **settings)
            assert trainer.streamed is streamed


def test_auto_keeps_data_on_the_device_where_no_limit_is_told():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=1)
    assert not trainer.streamed
    assert trainer.stream_reason == "numpy tells no limit to the memory of cpu"
