"""What a trainer runs on its backend: each program is built and compiled once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from chainrule.backends.base import Backend
from chainrule.backends.scan import Advice, Scan
from chainrule.errors import InputError
from chainrule.layers.layer import Layer, describe, infer
from chainrule.losses.loss import Loss
from chainrule.train.host_rows import HostRows
from chainrule.train.memory import explained
from chainrule.train.settings import Penalties
from chainrule.train.step import Step, in_dtype, make_gradients, make_step
from chainrule.typing import Array, Params, State, Tree

Program = Callable[..., Any]


@dataclass
class Programs:
    """The step, the gradients and the inference of one network, loss and optimizer."""

    backend: Backend
    model: Layer
    loss: Loss
    optimizer: Any
    penalties: Penalties
    short: str | None
    _compiled: dict[Any, Any] = field(default_factory=dict[Any, Any], init=False)

    def advice(
        self, micro_batch: int | None, state: State, data: Tree, controls: Tree, steps: int
    ) -> Advice:
        """Return what the backend says of compiling `steps` steps; it names what cannot be."""
        try:
            return self.backend.advise(self.make_step(micro_batch), state, data, controls, steps)
        except Exception as error:  # what is wrong with a step shows best when it runs eagerly
            why = str(error) if isinstance(error, InputError) else repr(error)
            return Advice(False, False, f"{layer_of(error)}cannot be traced: {why}", error)

    def scan(self, micro_batch: int | None, *, compiled: bool) -> Scan:
        """Return what runs many steps; see `chainrule.backends.scan.Scan`."""
        key = ("scan", micro_batch, compiled)
        if key not in self._compiled:
            self._compiled[key] = self.backend.scan(self.make_step(micro_batch), compiled=compiled)
        return self._compiled[key]

    def make_step(self, micro_batch: int | None) -> Step:
        """Return the step as a pure function; see `chainrule.train.step.make_step`."""
        return make_step(
            self.model,
            self.loss,
            self.optimizer,
            micro_batch=micro_batch,
            short=self.short,
            **asdict(self.penalties),
        )

    def forget_data(self) -> None:
        """Let go of the data that compiled programs have worked on."""
        for program in self._compiled.values():
            if hasattr(program, "forget_data"):
                program.forget_data()

    def gradients(self) -> Program:
        """Return ``gradients(params, running, data) -> (loss, grads, running)``.

        Penalties are part of the loss.
        """
        if "gradients" not in self._compiled:
            xp = self.backend.xp
            l1, l2 = self.penalties.l1, self.penalties.l2
            own = make_gradients(self.model, self.loss, l1=l1, l2=l2, penalised=True)

            def gradients(params: Params, running: Tree, data: Tree) -> tuple[Array, Tree, Tree]:
                loss, _, grads, moved = own(xp, {"params": params, "running": running}, data)
                return loss, grads, moved

            self._compiled["gradients"] = self.backend.compile(gradients)
        return self._compiled["gradients"]

    def infer(self) -> Program:
        """Return ``infer(params, running, x) -> output``; float32 where it computes in 16 bits.

        `x` may be `HostRows`.
        """
        if "infer" not in self._compiled:
            xp, model, short = self.backend.xp, self.model, self.short

            def run(params: Params, running: Tree, x: Array) -> Array:
                if short is None:
                    return infer(model, xp, params, running, x)
                low = in_dtype(xp, params, short)
                y = infer(model, xp, low, running, xp.astype(x, getattr(xp, short)))
                return xp.astype(y, xp.float32)

            program = self.backend.compile(run)

            def guarded(params: Params, running: Tree, x: Array) -> Array:
                rows = x.shape[0]
                way_out = f"{rows:,} rows are computed at a time: pass fewer, {rows // 2:,} or less"
                with explained(self.backend, lambda: way_out):
                    x = x[:] if isinstance(x, HostRows) else x
                    return program(params, running, x)

            self._compiled["infer"] = guarded
        return self._compiled["infer"]


def layer_of(error: BaseException) -> str:
    """Return the innermost layer in whose code an error was raised, with a colon, or nothing."""
    found = ""
    at = error.__traceback__
    while at is not None:
        own = at.tb_frame.f_locals.get("self")
        if hasattr(own, "init") and hasattr(own, "forward") and not hasattr(own, "layers"):
            found = f"{describe(own)}: "
        at = at.tb_next
    return found
