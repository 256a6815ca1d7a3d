"""Linear regression by gradient descent: by hand, with the trainer, and in closed form."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr


def main(backend, plot):
    random, true = np.random.default_rng(0), np.array([2.0, -3.0, 0.5, 1.0])
    X = random.normal(size=(200, 3))
    A = np.column_stack([X, np.ones(200)])  # the last coefficient is the bias
    y = A @ true + 0.5 * random.normal(size=200)
    closed_form = np.linalg.lstsq(A, y)[0]
    path = [np.zeros(4)]
    for _ in range(60):
        gradient = 2 / len(y) * A.T @ (A @ path[-1] - y)
        path.append(path[-1] - 0.1 * gradient)

    net = cr.Dense(1, weight_init="zeros")
    trainer = cr.Trainer(net, "squared_error", cr.sgd(0.1), backend=backend, dtype="float64")
    trainer.fit(X, y, epochs=60, batch_size=None, progress="off")
    params, to_numpy = trainer.params, trainer.backend.to_numpy
    learned = np.append(to_numpy(params["weight"]), to_numpy(params["bias"]))

    print("        true  closed form  by hand  trainer")
    for row in zip(["w0", "w1", "w2", "b "], true, closed_form, path[-1], learned, strict=True):
        print("{}  {:8.4f}{:13.4f}{:9.4f}{:9.4f}".format(*row))
    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure, (left, right) = plt.subplots(1, 2)
    left.plot(path, label=["$w_0$", "$w_1$", "$w_2$", "$b$"])
    left.hlines(closed_form, 0, 60, "black", "dotted", linewidth=1)
    left.set(title="Coefficients; dotted: closed form", xlabel="step")
    left.legend(loc="center right", bbox_to_anchor=(1, 0.4))
    right.semilogy(np.linalg.norm(path - closed_form, axis=1))
    right.set(title="Distance from the closed form", xlabel="step")
    figure.savefig(plot)
    if not np.allclose(learned, closed_form, atol=1e-3):
        raise SystemExit("gradient descent has not reached the minimum")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="linear_regression.png")
    main(**vars(parser.parse_args()))
