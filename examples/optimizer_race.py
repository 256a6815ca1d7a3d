"""Every optimizer trains the same network on the same digits; one figure shows the race."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

import chainrule as cr

RACERS = {  # each with the rate of 0.01, 0.03, 0.1, … that suits it best, and its line in the plot
    "sgd": (cr.sgd(1.0), "C0-"),
    "sgd, momentum": (cr.sgd(0.3, momentum=0.9), "C0--"),
    "sgd, Nesterov": (cr.sgd(0.3, momentum=0.9, nesterov=True), "C0:"),
    "adagrad": (cr.adagrad(0.3), "C1-"),
    "adadelta": (cr.adadelta(10.0), "C1--"),
    "rmsprop": (cr.rmsprop(0.03), "C1:"),
    "adam": (cr.adam(0.03), "C2-"),
    "amsgrad": (cr.amsgrad(0.03), "C2--"),
    "adamw": (cr.adamw(0.03), "C2:"),
    "adamax": (cr.adamax(0.1), "C3-"),
    "nadam": (cr.nadam(0.1), "C3--"),
    "lbfgs, all rows": (cr.lbfgs(), "k-"),
}


def main(backend, plot):
    digits, runs = cr.data.load("digits"), {}
    for name, (optimizer, _) in RACERS.items():
        net = cr.Sequential(cr.Dense(32), cr.Tanh(), cr.Dense(10))
        runs[name] = cr.Trainer(net, "softmax_cross_entropy", optimizer, backend=backend)
        runs[name].fit(digits.X, digits.y, epochs=20, batch_size=64, validation=0.2, progress="off")
    print("rank  optimizer          loss  held-out accuracy")
    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure, axes = plt.subplots(subplot_kw={"xlabel": "epoch", "xticks": range(0, 21, 4)})
    for rank, name in enumerate(sorted(runs, key=lambda name: runs[name].history["loss"][-1]), 1):
        loss, accuracy = runs[name].history["loss"], runs[name].history["val_accuracy"][-1]
        print(f"{rank:4}  {name:15}{loss[-1]:8.4f}{accuracy:19.1%}")
        axes.semilogy(range(1, 21), loss, RACERS[name][1], label=name)
    axes.legend(title="Training loss on digits", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(plot)
    if loss[-1] > 0.3:
        raise SystemExit(f"{name} did not learn the digits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="optimizer_race.png")
    main(**vars(parser.parse_args()))
