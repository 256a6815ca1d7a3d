"""A network of as many layers as you like learns to tell the arms of three spirals apart."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr


def spirals(rows, random):
    y, radius = np.arange(rows) % 3, np.sqrt(random.uniform(0.02, 1.0, rows))
    angle = 2 * np.pi * y / 3 + 7.0 * radius + 0.25 * random.normal(size=rows)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), y


def print_loss(record):
    if record["step"] % 100 == 0:
        print(f"iteration {record['step']:4}  loss {record['loss']:.4f}")


def main(hidden, backend, plot):
    random = np.random.default_rng(0)
    X, y = spirals(600, random)
    layers = [layer for units in hidden for layer in (cr.Dense(units), cr.ReLU())]
    net = cr.Sequential(*layers, cr.Dense(3))
    trainer = cr.Trainer(net, "softmax_cross_entropy", cr.sgd(0.2), backend=backend)
    trainer.fit(X, y, epochs=1000, batch_size=None, callbacks=[print_loss], progress="off")
    accuracy = trainer.evaluate(*spirals(600, random))["accuracy"]
    print(f"{len(hidden) + 1} layers; accuracy on 600 new points {accuracy:.1%}")
    colours = np.array([[0, 114, 178], [213, 94, 0], [0, 158, 115]]) / 255
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-1.1, 1.1, 300)]), axis=-1).reshape(-1, 2)
    image = (trainer.predict_proba(grid) @ (0.5 + 0.5 * colours)).reshape(300, 300, 3)
    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure, axes = plt.subplots(figsize=(4.2, 4), subplot_kw={"title": "The most probable arm"})
    axes.imshow(image, origin="lower", extent=(-1.1, 1.1, -1.1, 1.1), zorder=1)
    axes.scatter(*X.T, 7, colours[y])
    figure.savefig(plot)
    if accuracy < 0.95:
        raise SystemExit("the network did not learn the spirals")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=[10, 20, 30])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="deep_network.png")
    main(**vars(parser.parse_args()))
