"""``chainrule inspect``."""

from collections.abc import Iterator
from typing import Any

import click

from chainrule.cli.options import debug_option, json_option
from chainrule.cli.output import columns, numerics, write_json
from chainrule.errors import InputError


@click.command("inspect")
@click.argument("run", metavar="RUN")
@click.option("--program", is_flag=True, help="Show the compiled training step as loops.")
@click.option("--batch-size", type=int, metavar="B", help="Rows of its batch; 32.")
@json_option
@debug_option
def command(run: str, program: bool, batch_size: int | None, as_json: bool) -> None:
    """Show each layer of a run with its shapes and parameters, and their total."""
    if program:
        if as_json:
            raise InputError("--program is a text: leave out --json")
        click.echo(_program(run, 32 if batch_size is None else batch_size))
        return
    if batch_size is not None:
        raise InputError("--batch-size is for --program")
    from pathlib import Path

    from chainrule.cli.run_folder import METRICS, read_model
    from chainrule.train.files import read_arrays, read_json

    about = read_model(run)
    folder = Path(run)
    arrays, _ = read_arrays(folder / "model.safetensors")
    layers: list[dict[str, Any]] = [
        {
            "name": name,
            "layer": text,
            "in_shape": list(in_shape),
            "out_shape": list(out_shape),
            **_sizes(arrays, name),
        }
        for name, text, in_shape, out_shape in _layers(about["model"], "", about["in_shape"])
    ]
    result: dict[str, Any] = {
        "run": run,
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "bytes": sum(layer["bytes"] for layer in layers),
        "loss": about["loss"].name,
        "optimizer": repr(about["optimizer"]),
        **about["trainer"],
    }
    if (folder / METRICS).exists():
        result["metrics"] = read_json(folder / METRICS)
    if as_json:
        write_json(result)
        return
    rows: list[tuple[str, ...]] = [("name", "layer", "in", "out", "parameters", "bytes")]
    rows += [
        (
            layer["name"],
            layer["layer"],
            _shape(layer["in_shape"]),
            _shape(layer["out_shape"]),
            f"{layer['parameters']:,}",
            f"{layer['bytes']:,}",
        )
        for layer in layers
    ]
    rows.append(("total", "", "", "", f"{result['parameters']:,}", f"{result['bytes']:,}"))
    click.echo(columns(rows, right=(4, 5)))
    click.echo(f"loss {result['loss']}, optimizer {result['optimizer']}, {numerics(result)}")


def _program(run: str, batch_size: int) -> str:
    from chainrule.cli.run_folder import read_model
    from chainrule.train.settings import positive_integer
    from chainrule.train.trainer import Trainer

    positive_integer("--batch-size", batch_size)
    if read_model(run)["trainer"]["dtype"] == "bfloat16":
        raise InputError("the run was trained in bfloat16, which runs eagerly: it has no program")
    return Trainer.load(run, matmul_precision="float32").program(batch_size)


def _layers(model: Any, prefix: str, in_shape: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield the dotted name, text, input and output shape of each layer, nested ones too."""
    from chainrule.layers import Sequential
    from chainrule.layers.layer import describe
    from chainrule.ops.random import Rng

    if not isinstance(model, Sequential):
        _, out_shape = model.init(Rng(0), in_shape)
        yield prefix, describe(model), in_shape, out_shape
        return
    for number, (name, _, own_in, _, _) in enumerate(model.walk(Rng(0), in_shape)):
        full = f"{prefix}.{name}" if prefix else name
        yield from _layers(model.layers[number], full, own_in)


def _sizes(arrays: dict[str, Any], name: str) -> dict[str, int]:
    """Return how many numbers and bytes a layer's arrays hold, running state included."""
    own = [array for path, array in arrays.items() if not name or path.startswith(f"{name}.")]
    return {
        "parameters": sum(array.size for array in own),
        "bytes": sum(array.nbytes for array in own),
    }


def _shape(shape: list[int]) -> str:
    return f"({', '.join(map(str, shape))})"
