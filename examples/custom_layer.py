"""A layer of your own with its own gradient: checked, then trained beside a built-in one."""

import argparse
from dataclasses import dataclass

import numpy as np

import chainrule as cr


@dataclass(frozen=True)
class Sine:
    """y = sin(frequency x), with a learned frequency for every feature."""

    def init(self, rng, in_shape):
        return {"frequency": 30.0 * rng.uniform(in_shape)}, in_shape

    def forward(self, xp, params, x):
        angle = params["frequency"] * x
        return xp.sin(angle), (angle, x, params["frequency"])

    def backward(self, xp, residuals, dy, *, needs_dx=True):
        angle, x, frequency = residuals
        dangle = dy * xp.cos(angle)
        return {"frequency": xp.sum(dangle * x, axis=0)}, dangle * frequency


def main(backend):
    x = np.linspace(-2.0, 2.0, 200)[:, None]
    y = np.sin(4.0 * x) + 0.5 * np.sin(10.0 * x)
    report = cr.check_gradients(Sine(), "squared_error", x=x[::50], y=y[::50], backend=backend)
    print(report)
    for layer in (cr.Tanh(), Sine()):
        net = cr.Sequential(cr.Dense(32), layer, cr.Dense(1))
        trainer = cr.Trainer(net, "squared_error", cr.adam(0.01), backend=backend)
        trainer.fit(x, y, epochs=100, batch_size=20, progress="off")
        scores = trainer.evaluate(x, y)
        print(f"{layer}: R² {scores['r2']:.4f}, mean absolute error {scores['mae']:.4f}")
    if not report.passed or scores["r2"] < 0.99:
        raise SystemExit("the layer's gradient is wrong, or it did not learn")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    main(**vars(parser.parse_args()))
