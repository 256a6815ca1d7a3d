"""Backpropagation against numerical differentiation: how close, and how much slower."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr


def main(backend, plot):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(8, 6)), random.integers(3, size=8)
    net, loss = cr.Sequential(cr.Dense(10), cr.Tanh(), cr.Dense(3)), cr.softmax_cross_entropy()
    report = cr.check_gradients(net, loss, x=x, y=y, backend=backend)
    print(report)

    params = cr.Trainer(net, loss, dtype="float64").build((6,)).params
    weight = params["0"]["weight"]
    output, residuals = net.forward(np, params, x)
    _, loss_residuals = loss.forward(np, output, y, 1 / 8)
    grads, _ = net.backward(np, residuals, loss.backward(np, loss_residuals, 1.0))

    def loss_at(weight):
        output, _ = net.forward(np, params | {"0": params["0"] | {"weight": weight}}, x)
        return loss.forward(np, output, y, 1 / 8)[0]

    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure, axes = plt.subplots()
    for order in (2, 4):
        steps, errors = 2.0 ** np.arange(-36, 1), []
        for step in steps:
            numerical = cr.numerical_gradient(loss_at, weight, step=step, order=order)
            errors.append(np.abs(numerical - grads["0"]["weight"]).max())
        axes.loglog(steps, errors, label=f"central differences, error $O(h^{order})$")
        print(f"order {order}: best step {steps[np.argmin(errors)]:.0e}, error {min(errors):.0e}")
    axes.set(title="Largest error of the numerical gradient", xlabel="relative step $h$")
    axes.legend()
    figure.savefig(plot)
    if not report.passed:
        raise SystemExit("the two gradients disagree")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="gradient_check.png")
    main(**vars(parser.parse_args()))
