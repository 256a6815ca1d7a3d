"""XOR with sigmoid units: no linear model fits it, two hidden units do."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr


def draw(axes, points, y, logit, title, names):
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-0.3, 1.3, 200)]), axis=-1)
    probs = 1 / (1 + np.exp(-logit(grid.reshape(-1, 2)))).reshape(200, 200)
    box = {"origin": "lower", "extent": (-0.3, 1.3, -0.3, 1.3), "zorder": 1}
    axes.imshow(probs, **box, vmin=-0.5, vmax=1.5)
    axes.scatter(*points.T, 60, y, edgecolors="black")
    for n, (a, b) in enumerate(points):
        axes.annotate(f"{n // 2} xor {n % 2}", (a, b + (0.07 if n else -0.13)), ha="center")
    axes.set(title=title, xlabel=names[0], ylabel=names[1])


def main(backend, plot):
    X, y, probs = cr.data.load("xor").X, cr.data.load("xor").y, []
    for net in (cr.Dense(1), cr.Sequential(cr.Dense(2), cr.Sigmoid(), cr.Dense(1))):
        trainer = cr.Trainer(net, "sigmoid_cross_entropy", cr.sgd(3.0), backend=backend, seed=1)
        trainer.fit(X, y, epochs=1000, batch_size=None, progress="off")
        probs.append(trainer.predict_proba(X)[:, 1])
    print("a  b  a xor b  linear model  two hidden units")
    for (a, b), truth, linear, hidden in zip(X, y, *probs, strict=True):
        print(f"{a:.0f}  {b:.0f}{truth:9}{linear:14.3f}{hidden:18.3f}")

    params, to_numpy = trainer.params, trainer.backend.to_numpy
    w1, b1, w2, b2 = (to_numpy(params[n][name]) for n in "02" for name in ("weight", "bias"))
    seen = 1 / (1 + np.exp(-(X @ w1 + b1)))
    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure, (left, right) = plt.subplots(1, 2)
    draw(left, X, y, trainer.predict, "What the network says of a and b (blue: 1)", "ab")
    draw(right, seen, y, lambda h: h @ w2 + b2, "What its last layer sees", ("unit 1", "unit 2"))
    figure.savefig(plot)
    if (trainer.predict_labels(X) != y).any():
        raise SystemExit("the network did not learn exclusive or")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="xor.png")
    main(**vars(parser.parse_args()))
