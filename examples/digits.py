"""Handwritten digits: the accuracy on digits not seen before, and what is taken for what."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr
from chainrule.data import split


def main(backend, plot):
    digits = cr.data.load("digits")
    train, held_out = split(len(digits.y), 0.25, labels=digits.y)
    net = cr.Sequential(cr.Dense(128), cr.ReLU(), cr.Dropout(0.1), cr.Dense(10))
    trainer = cr.Trainer(net, "softmax_cross_entropy", cr.adam(1e-3), backend=backend)
    trainer.fit(digits.X[train], digits.y[train], epochs=30, batch_size=32, progress="off")
    X, y = digits.X[held_out], digits.y[held_out]
    scores, labels = trainer.evaluate(X, y), trainer.predict_labels(X)
    matrix = cr.metrics.confusion_matrix(y, labels, classes=10)
    print(f"{len(train)} digits to learn from, {len(y)} held out")
    print(f"loss {scores['loss']:.4f}, accuracy {scores['accuracy']:.1%}")
    for true, guess in np.argwhere(matrix - np.diag(np.diag(matrix))):
        print(f"{true} taken for {guess}: {matrix[true, guess]}")

    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure = plt.figure(figsize=(8.4, 4))
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.imshow(np.sqrt(matrix), "Blues", zorder=1)
    for true, guess in np.argwhere(matrix):
        colour = "white" if true == guess else "black"
        axes.text(guess, true, matrix[true, guess], ha="center", va="center", color=colour)
    axes.set(xlabel="taken for", ylabel="digit", xticks=range(10), yticks=range(10))
    panels = right.subplots(3, 4, subplot_kw={"xticks": [], "yticks": [], "frame_on": False})
    for axes, row in zip(panels.flat, np.flatnonzero(labels != y), strict=False):
        axes.imshow(X[row].reshape(8, 8), "Greys")
        axes.set(title=f"{y[row]} as {labels[row]}")
    figure.savefig(plot)
    if scores["accuracy"] < 0.95:
        raise SystemExit("the network did not learn the digits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="digits.png")
    main(**vars(parser.parse_args()))
