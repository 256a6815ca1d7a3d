"""A nest of loops as a function of CUDA C: what each thread computes, and what threads share.

A nest is written in one of three forms. *Flat*: an element to a thread. *Columns*, where sums over
rows come out: a column to a thread, which runs down its share of the rows; the shares are added up
by the block that ends last. *Rows*, where values come out of a row (softmax): a row to a team, a
warp or a block, whose threads hold a column each of it, or several.

Nothing depends on which block runs when, nor on the device: all sums are taken in one order, which
the sizes alone decide. So two runs agree bit for bit.
"""

from math import prod

from chainrule.backends.cuda.expressions import FOLDS, HALF, held, literal, rounded, stored
from chainrule.backends.cuda.statements import Axes, Statements, axes_of, innermost
from chainrule.trace.array import TraceError
from chainrule.trace.graph import DType
from chainrule.trace.index import ZERO, flat, variable
from chainrule.trace.loops import (
    Accumulate,
    Loop,
    Nest,
    Program,
    Start,
    Statement,
    Store,
    Update,
)
from chainrule.trace.lower import identity

THREADS = 256
"""In every block."""

WARP = 32
NARROW = 256
"""Columns of a row for which a warp is enough."""

BLOCKS = 2**20
"""At most, where a nest leaves no sums."""

SHARES = 1024
"""Parts, at most, in which sums over rows or over everything are taken."""

GATHERED = 2**17
"""Numbers, at most, that one block adds up at the end, where `FEWEST` shares allow it."""

FEWEST = 16

MANY = 1056
"""Blocks that keep a device busy: 8 for each of an H100's multiprocessors."""

_REDUCED = ("i32", "i64", "u32", "u64", "f32", "f64")


class Kernel(Statements):
    """A nest's function. `pointers` are the arrays it takes, `shared` the bytes its blocks share.

    The shared memory holds `counters` of 4 bytes, zero before and after, and then the shares.
    """

    def __init__(self, program: Program, nest: Nest, stepped: dict[str, int]) -> None:
        super().__init__(program, nest)
        self.stepped = stepped
        self.counters = 0
        self.shared = 0
        head, axes, body, tail = nest.parts()
        self.head, self.body, self.tail = head, body, tail
        self.totals = {s.name: s for s in head if isinstance(s, Start)}
        self._places: dict[int, int] = {}
        loops = [s for s in self.body if isinstance(s, Loop)]
        by_row = bool(loops) or any(isinstance(s, Start) for s in self.body)
        if not self.body:
            self.blocks = 1
            self._alone()
        elif by_row:
            self._rows(axes, axes_of(loops[0]) if loops else [])
        elif self.updates:
            self._columns(axes)
        else:
            self._flat(axes)

    def text(self) -> str:
        """Return the function, which takes the number of its block first."""
        written = {
            self.program.place(s.array)
            for s in self.nest.statements()
            if isinstance(s, Store | Update)
        }
        given = [
            f"{'' if at in written else 'const '}{stored(self.program.arrays[name].dtype)} "
            f"*__restrict__ p{number}"
            for number, (at, name) in enumerate(self.pointers.items())
        ]
        head = ["i32 block", "i64 step", *given, "u32 *counters", "char *shares"]
        moved = [
            f"    p{number} += step * {self.stepped[name]};"
            for number, name in enumerate(self.pointers.values())
            if name in self.stepped
        ]
        lines = [f"DEVICE void {self.nest.name}({', '.join(head)}) {{", *moved, *self.f.lines, "}"]
        return "\n".join(lines)

    # forms

    def _alone(self) -> None:
        """Write a nest of single numbers: one thread computes it."""
        self.f.open("if (threadIdx.x == 0)")
        self.all([*self.head, *self.tail])
        self.f.close()

    def _flat(self, axes: Axes) -> None:
        size = prod(size for _, size in axes)
        self.blocks = _blocks(size, SHARES if self.totals else BLOCKS)
        self.all(self.head)
        every = self.blocks * THREADS
        first = f"({self.index})block * {THREADS} + ({self.index})threadIdx.x"
        self.f.open(f"for ({self.index} e = {first}; e < {size}; e += {every})")
        self.decode("e", axes)
        self.all(self.body)
        self.f.close()
        self._finish()

    def _columns(self, axes: Axes) -> None:
        kept = {name for update in self.updates for name, _ in update.index.terms}
        columns = [axis for axis in axes if axis[0] in kept]
        rows = [axis for axis in axes if axis[0] not in kept]
        width, height = prod(s for _, s in columns), prod(s for _, s in rows)
        self._check_updates(columns)
        tiles = -(-width // THREADS)
        shares = max(1, min(SHARES, height // 4, -(-MANY // max(tiles, 1))))
        self.blocks = max(tiles * shares, 1)
        f = self.f
        self.all(self.head)
        f.do(f"const i32 tile = block % {max(tiles, 1)}, share = block / {max(tiles, 1)};")
        f.do(f"const i32 c = tile * {THREADS} + (i32)threadIdx.x;")
        self._start_updates(1)
        f.open(f"if (c < {width})")
        self.decode("c", columns)
        f.open(f"for ({self.index} r = share; r < {height}; r += {shares})")
        self.decode("r", rows)
        self.all(self.body)
        f.close()
        f.close()
        self._add_columns(width, shares, max(tiles, 1))
        self._finish()

    def _rows(self, axes: Axes, columns: Axes) -> None:
        width, height = prod(s for _, s in columns), prod(s for _, s in axes)
        self._check_updates(columns)
        team = WARP if width <= NARROW else THREADS
        teams = THREADS // team
        most = SHARES if self.totals else BLOCKS
        if self.updates:
            most = min(SHARES, max(FEWEST, GATHERED // max(width, 1)))
        self.blocks = max(1, min(-(-height // teams), most // teams))
        turns = -(-width // team)
        f = self.f
        self.all(self.head)
        f.do(f"const i32 lane = (i32)threadIdx.x % {team};")
        f.do(f"const i32 share = block * {teams} + (i32)threadIdx.x / {team};")
        self._start_updates(turns)
        f.open(f"for ({self.index} r = share; r < {height}; r += {self.blocks * teams})")
        self.decode("r", axes)
        for statement in self.body:
            if isinstance(statement, Loop):
                self._turn(innermost(statement), columns, width, team, turns)
            else:
                self._once_a_row(statement, team)
        f.close()
        if self.updates:
            self._leave_rows(width, self.blocks * teams, team)
        self._finish((width, self.blocks * teams) if self.updates else None)

    def _turn(
        self, body: list[Statement], columns: Axes, width: int, team: int, turns: int
    ) -> None:
        """Write a pass over a row: the team's threads take its columns in turns."""
        f = self.f
        if turns <= 16:
            f.do("#pragma unroll")
        f.open(f"for (i32 k = 0; k < {turns}; ++k)")
        f.do(f"const i32 c = lane + k * {team};")
        f.open(f"if (c < {width})")
        self.decode("c", columns)
        self.all(body)
        f.close()
        f.close()
        for statement in body:
            if isinstance(statement, Accumulate) and statement.name not in self.totals:
                name, dtype = statement.name, statement.dtype
                together = f"{_reduction(statement.kind, dtype)}({name}, {team})"
                self.f.do(f"{name} = {rounded(together) if dtype == HALF else together};")

    def _once_a_row(self, statement: Statement, team: int) -> None:
        """Write what all of a team do alike; what they share, one of them does."""
        alone = isinstance(statement, Store) or (
            isinstance(statement, Accumulate) and statement.name in self.totals
        )
        if isinstance(statement, Store):
            self.f.do("__syncwarp();" if team == WARP else "__syncthreads();")
        if alone:
            self.f.open("if (lane == 0)")
        self.statement(statement)
        if alone:
            self.f.close()

    # sums

    def _check_updates(self, columns: Axes) -> None:
        """Raise `TraceError` unless every sum over rows has just these columns."""
        names = [variable(name) if size != 1 else ZERO for name, size in columns]
        straight = flat(names, tuple(size for _, size in columns))
        for update in self.updates:
            if update.index != straight:
                raise TraceError("sums over different axes of one array")

    def _start_updates(self, turns: int) -> None:
        self.turns = turns
        for number, update in enumerate(self.updates):
            start = literal(identity(update.kind, update.dtype), update.dtype)
            if turns == 1:
                self.f.do(f"{held(update.dtype)} u{number} = {start};")
            else:
                self.f.do(f"{held(update.dtype)} u{number}[{turns}];")
                self.f.do(f"for (i32 k = 0; k < {turns}; ++k) u{number}[k] = {start};")

    def _add_columns(self, width: int, shares: int, tiles: int) -> None:
        """Add up the shares of each column, tile by tile."""
        f = self.f
        if shares > 1:
            f.open(f"if (c < {width})")
            for number, update in enumerate(self.updates):
                t, at = held(update.dtype), self._share(width * shares, update.dtype)
                f.do(f"((volatile {t} *)(shares + {at}))[share * {width} + c] = u{number};")
                self._places[number] = at
            f.close()
            f.open(f"if (last_of(counters + {self.counters} + tile, {shares}))")
            self.counters += tiles
        f.open(f"if (c < {width})")
        for number, update in enumerate(self.updates):
            found = f"u{number}"
            if shares > 1:
                found = self._sum_of_shares(number, update, f"s * {width} + c", "0", shares, 1)
            self.write(update.array, "c", self._final(found, update.dtype))
        f.close()
        if shares > 1:
            f.close()

    def _sum_of_shares(
        self, number: int, update: Update, at: str, first: str, shares: int, apart: int
    ) -> str:
        """Write the sum of a column's shares `first`, `first` + `apart`, ...; return its name."""
        f, t, name = self.f, held(update.dtype), f"w{number}"
        f.do(f"{t} {name} = {literal(identity(update.kind, update.dtype), update.dtype)};")
        f.open(f"for (i32 s = (i32)({first}); s < {shares}; s += {apart})")
        place = self._places[number]
        f.do(f"const {t} part = ((volatile {t} *)(shares + {place}))[{at}];")
        f.do(f"{name} = {FOLDS[update.kind]}({name}, part);")
        f.close()
        return name

    def _leave_rows(self, width: int, shares: int, team: int) -> None:
        """Write each team's share of every column to where the last block finds it."""
        f = self.f
        f.open(f"for (i32 k = 0; k < {self.turns}; ++k)")
        f.do(f"const i32 c = lane + k * {team};")
        f.open(f"if (c < {width})")
        for number, update in enumerate(self.updates):
            t, at = held(update.dtype), self._share(width * shares, update.dtype)
            one = f"u{number}" if self.turns == 1 else f"u{number}[k]"
            f.do(f"((volatile {t} *)(shares + {at}))[share * {width} + c] = {one};")
            self._places[number] = at
        f.close()
        f.close()

    def _finish(self, rows: tuple[int, int] | None = None) -> None:
        """Have the block that ends last add up totals and the columns of `rows` (width, shares)."""
        f = self.f
        if rows is None and not self.totals:
            return
        places: dict[str, int] = {}
        for name, start in self.totals.items():
            t, at = held(start.dtype), self._share(self.blocks, start.dtype)
            together = f"{_reduction(self.kinds[name], start.dtype)}({name}, {THREADS})"
            f.do(f"{name} = {together};")
            f.do(f"if (threadIdx.x == 0) ((volatile {t} *)(shares + {at}))[block] = {name};")
            places[name] = at
        f.open(f"if (last_of(counters + {self.counters}, {self.blocks}))")
        self.counters += 1
        if rows is not None:
            self._add_rows(*rows)
        for name, start in self.totals.items():
            t, kind = held(start.dtype), self.kinds[name]
            f.do(f"{name} = {literal(start.value, start.dtype)};")
            f.open(f"for (i32 s = (i32)threadIdx.x; s < {self.blocks}; s += {THREADS})")
            f.do(f"const {t} part = ((volatile {t} *)(shares + {places[name]}))[s];")
            f.do(f"{name} = {FOLDS[kind]}({name}, part);")
            f.close()
            f.do(f"{name} = {_reduction(kind, start.dtype)}({name}, {THREADS});")
        f.open("if (threadIdx.x == 0)")
        self.all(self.tail)
        f.close()
        f.close()

    def _add_rows(self, width: int, shares: int) -> None:
        """Add up all columns in one block: a column to a warp, or of many to a thread."""
        f, apart = self.f, WARP if width < THREADS else 1
        first = f"(i32)threadIdx.x / {apart}"
        f.open(f"for (i32 c = {first}; c < {width}; c += {THREADS // apart})")
        lane = f"threadIdx.x % {apart}"
        for number, update in enumerate(self.updates):
            found = self._sum_of_shares(number, update, f"s * {width} + c", lane, shares, apart)
            if apart > 1:
                f.do(f"{found} = {_reduction(update.kind, update.dtype)}({found}, WARP);")
            f.open(f"if ({lane} == 0)")
            self.write(update.array, "c", self._final(found, update.dtype))
            f.close()
        f.close()

    def _share(self, count: int, dtype: DType) -> int:
        """Return the place of so many numbers in the memory the blocks share."""
        at = -(-self.shared // 16) * 16
        self.shared = at + count * (4 if held(dtype) in ("f32", "i32", "u32") else 8)
        return at

    def _final(self, value: str, dtype: DType) -> str:
        return rounded(value) if dtype == HALF else value


def _blocks(size: int, most: int) -> int:
    return max(1, min(-(-size // THREADS), most))


def _reduction(kind: str, dtype: DType) -> str:
    t = held(dtype)
    if t not in _REDUCED:
        raise TraceError(f"a {kind} of {dtype.name}")
    return f"{kind}_{t}"
