"""Yes or no from a CSV file with a category and missing cells: which bearings fail?

The same in one line: chainrule train examples/bearings.csv --target failed --missing median
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import chainrule as cr
from chainrule.data import split


def main(backend, plot):
    table = cr.data.open_table(Path(__file__).with_name("bearings.csv"))
    goal = cr.data.fit_target(table, "failed")
    train, held_out = split(len(table), 0.25, labels=goal.read(table))
    schema = cr.data.Schema.fit(table, goal, missing="median", rows=train)
    X, y = schema.transform(table, train), schema.target(table, train)
    X_held, y_held = schema.transform(table, held_out), schema.target(table, held_out)
    print(f"features: {', '.join(schema.feature_names)}")
    print(f"{len(y)} rows to learn from; of {len(y_held)} held out {y_held.mean():.1%} failed")
    plt.style.use(Path(__file__).with_name("plots.mplstyle"))
    figure, axes = plt.subplots()
    heat, degrees = np.array(schema.feature_names) == "temperature_c", np.arange(25, 86)
    scaled = (degrees - schema.columns[2].mean) / schema.columns[2].scale
    network = cr.Sequential(cr.Dense(16), cr.Tanh(), cr.Dense(1))
    for name, net in (("linear model", cr.Dense(1)), ("hidden layer", network)):
        trainer = cr.Trainer(net, "sigmoid_cross_entropy", cr.adam(0.01), backend=backend, l2=1e-3)
        trainer.fit(X, y, epochs=60, batch_size=32, progress="off")
        accuracy = trainer.evaluate(X_held, y_held)["accuracy"]
        print(f"{name}: {accuracy:.1%} of the held-out answers are right")
        probs = [trainer.predict_proba(np.where(heat, t, X_held))[:, 1].mean() for t in scaled]
        axes.plot(degrees, probs, label=name)
    print(f"the first five: {', '.join(schema.decode_target(trainer.predict_labels(X_held[:5])))}")
    axes.set(title="Mean probability of failure", xlabel="temperature (°C)", ylim=(0, 1))
    axes.legend()
    figure.savefig(plot)
    if accuracy < 0.8:
        raise SystemExit("the network did not learn when bearings fail")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--plot", default="csv_classification.png")
    main(**vars(parser.parse_args()))
