"""What a trainer runs on its backend: each program is built and compiled once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from chainrule.backends.base import Backend
from chainrule.layers.layer import Layer, infer
from chainrule.losses.loss import Loss
from chainrule.train.loss_scale import to_float16
from chainrule.train.settings import Penalties
from chainrule.train.step import make_gradients, make_step
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
    half: bool
    _compiled: dict[Any, Program] = field(default_factory=dict[Any, Program], init=False)

    def step(self, micro_batch: int | None) -> Program:
        """Return ``step(state, data, indices, learning_rate, key) -> (state, metrics)``.

        It gathers the rows `indices` of the data; the state is donated.
        """
        if micro_batch not in self._compiled:
            backend, xp = self.backend, self.backend.xp
            step = make_step(
                self.model,
                self.loss,
                self.optimizer,
                micro_batch=micro_batch,
                half=self.half,
                **asdict(self.penalties),
            )

            def gathered(
                state: State, data: Tree, indices: Array, learning_rate: Array, key: Array | None
            ) -> tuple[State, Tree]:
                batch = {name: backend.gather(array, indices) for name, array in data.items()}
                batch["learning_rate"] = learning_rate
                if key is not None:
                    batch["key"] = key
                return step(xp, state, batch)

            self._compiled[micro_batch] = backend.compile(gathered, donate=(0,))
        return self._compiled[micro_batch]

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
        """Return ``infer(params, running, x) -> output``; float32 where it computes in float16."""
        if "infer" not in self._compiled:
            xp, model = self.backend.xp, self.model

            def run(params: Params, running: Tree, x: Array) -> Array:
                if not self.half:
                    return infer(model, xp, params, running, x)
                low = to_float16(xp, params)
                y = infer(model, xp, low, running, xp.astype(x, xp.float16))
                return xp.astype(y, xp.float32)

            self._compiled["infer"] = self.backend.compile(run)
        return self._compiled["infer"]
