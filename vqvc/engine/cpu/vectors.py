"""Element-wise operations on rows in whole vector registers, for compiled (Numba) code.

Rows are short (64 to 512 numbers). A loop that LLVM vectorises by itself repeats its checks and constants for every
row, and uses half of an AVX-512 register. The operations are therefore generated as vector code, with all rows in one
loop.
"""

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from vqvc.engine.cpu.processor import FEATURES
from vqvc.nn.gate_loops import TANH_END, tanh_polynomials

if FEATURES.get("avx512f"):
    LANES = 16
elif FEATURES.get("avx2"):
    LANES = 8
else:
    LANES = 4

FLOAT, INT16, INT64 = ir.FloatType(), ir.IntType(16), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
_INT32, _ALL = ir.IntType(32), ir.Constant(ir.IntType(16), 0xFFFF)
# 2**f = 1 + f (LINEAR + f (SQUARE + f CUBIC)), with the smallest maximal error on [0, 1]
LINEAR, SQUARE, CUBIC = 0.69542435, 0.22630771, 0.07826795


def _same(kind: ir.Type, value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, LANES), [value] * LANES)


def spread(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A vector with the same number in all LANES."""
    holder = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    one = builder.insert_element(holder, value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(one, holder, _same(_INT32, 0))


class BFloat(ir.Type):
    """LLVM's type bfloat, which llvmlite lacks."""

    null = "0.0"

    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


class Lanes:
    """A vector of LANES float32 numbers in generated code; operators generate instructions."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value):
        self.builder, self.value = builder, value

    def _of(self, other: "Lanes | float") -> ir.Value:
        return other.value if isinstance(other, Lanes) else ir.Constant(VECTOR, [float(np.float32(other))] * LANES)

    def _do(self, name: str, a: "Lanes | float", b: "Lanes | float") -> "Lanes":
        return Lanes(self.builder, getattr(self.builder, name)(self._of(a), self._of(b), flags=("fast",)))

    def __add__(self, other):
        return self._do("fadd", self, other)

    def __sub__(self, other):
        return self._do("fsub", self, other)

    def __mul__(self, other):
        return self._do("fmul", self, other)

    def __truediv__(self, other):
        return self._do("fdiv", self, other)

    def _pick(self, order: str, other: "Lanes | float") -> "Lanes":
        first = self.builder.fcmp_ordered(order, self.value, self._of(other), flags=("fast",))
        return Lanes(self.builder, self.builder.select(first, self.value, self._of(other)))

    def above(self, other: "Lanes | float") -> "Lanes":
        """Element-wise maximum."""
        return self._pick(">", other)

    def below(self, other: "Lanes | float") -> "Lanes":
        """Element-wise minimum."""
        return self._pick("<", other)

    def _native(self, name: str, *operands: ir.Value) -> "Lanes":
        """Call an LLVM intrinsic with these lanes and more operands."""
        operands = (self.value, *operands)
        signature = ir.FunctionType(VECTOR, [operand.type for operand in operands])
        return Lanes(
            self.builder,
            self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, name), operands),
        )

    def inverse(self) -> "Lanes":
        """1 / x with a relative error below 2**-14 (AVX-512)."""
        return self._native("llvm.x86.avx512.rcp14.ps.512", self.value, _ALL)

    def power_of_two(self) -> "Lanes":
        """2**x with a relative error below 2e-4: a cubic in the fraction of x that is exact for whole x (AVX-512)."""
        rounding = ir.Constant(_INT32, 4)  # the current mode
        # x - floor(x)
        part = self._native("llvm.x86.avx512.mask.reduce.ps.512", ir.Constant(_INT32, 1), self.value, _ALL, rounding)
        cubic = ((part * CUBIC + SQUARE) * part + LINEAR) * part + 1.0
        # times 2**floor(x)
        return cubic._native("llvm.x86.avx512.mask.scalef.ps.512", self.value, self.value, _ALL, rounding)

    def exp(self) -> "Lanes":
        """exp(x) with a relative error below 2e-7 (Cephes' polynomial), for x clamped to [-87, 88]."""
        x = self.above(-87.0).below(88.0)
        whole = (x * (1.0 / math.log(2.0)))._native(f"llvm.rint.v{LANES}f32")
        r = x - whole * 0.693359375 - whole * -2.12194440e-4
        p = r * 1.9875691500e-4 + 1.3981999507e-3
        for factor in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
            p = p * r + factor
        integers = ir.VectorType(_INT32, LANES)
        power = self.builder.fptosi(whole.value, integers)
        bits = self.builder.shl(self.builder.add(power, _same(_INT32, 127)), _same(_INT32, 23))
        return (p * r * r + r + 1.0) * Lanes(self.builder, self.builder.bitcast(bits, VECTOR))

    def only(self, count: ir.Value, other: "Lanes | float") -> "Lanes":
        """The first ``count`` (int64) lanes of this vector, and the others of ``other``."""
        order = ir.Constant(ir.VectorType(INT64, LANES), list(range(LANES)))
        inside = self.builder.icmp_signed("<", order, spread(self.builder, count))
        return Lanes(self.builder, self.builder.select(inside, self.value, self._of(other)))

    def reduced(self, name: str, *start: ir.Value) -> ir.Value:
        """Reduce all lanes to one number. name: "fmax", or "fadd", which adds to ``start``."""
        signature = ir.FunctionType(FLOAT, [FLOAT] * len(start) + [VECTOR])
        function = cgutils.get_or_insert_function(
            self.builder.module, signature, f"llvm.vector.reduce.{name}.v{LANES}f32"
        )
        return self.builder.call(function, [*start, self.value], fastmath=("fast",))

    def rounded(self) -> ir.Value:
        """Round to the nearest bfloat16 numbers."""
        return self.builder.fptrunc(self.value, ir.VectorType(BFloat(), LANES))


def _pass(formula: Callable[[Lanes, Lanes], Lanes], rough: Callable[[Lanes, Lanes], Lanes] | None = None):
    """Make a compiled function that sets target[row, i] = formula(a[row, i], b[row, i]).

    Its arguments are (rows, width, target, target_at, target_stride, a, a_at, a_stride, b, b_at, b_stride). Arrays are
    flat, offsets and strides are in elements, and width is a multiple of LANES. A stride of 0 gives every row the same
    numbers. A bfloat16 (uint16) target gets rounded values, of ``rough`` instead of ``formula`` if it is given.
    """

    @intrinsic
    def run(context, rows, width, target, target_at, target_stride, a, a_at, a_stride, b, b_at, b_stride):
        place = types.intp
        signature = types.void(place, place, target, place, place, a, place, place, b, place, place)

        def generate(cg, builder, signature, values):
            rows, width = values[:2]
            target, a, b = (
                (
                    builder.ptrtoint(cg.make_array(signature.args[i])(cg, builder, values[i]).data, INT64),
                    *values[i + 1 : i + 3],
                )
                for i in (2, 5, 8)
            )
            narrow = signature.args[2].dtype == types.uint16
            chosen = rough if narrow and rough else formula

            def address(place, row, i, kind, size):
                base, at, stride = place
                element = builder.add(builder.add(at, builder.mul(row, stride)), i)
                return builder.inttoptr(
                    builder.add(base, builder.mul(element, ir.Constant(INT64, size))), kind.as_pointer()
                )

            def load(place, row, i):
                value = builder.load(address(place, row, i, VECTOR, 4))
                value.align = 4
                return Lanes(builder, value)

            with cgutils.for_range(builder, rows, intp=INT64) as outer:
                step = ir.Constant(INT64, LANES)
                with cgutils.for_range_slice(builder, ir.Constant(INT64, 0), width, step, INT64) as (i, _):
                    result = chosen(load(a, outer.index, i), load(b, outer.index, i))
                    value = result.rounded() if narrow else result.value
                    place = address(target, outer.index, i, value.type, 2 if narrow else 4)
                    builder.store(value, place).align = 2 if narrow else 4
            return cg.get_dummy_value()

        return signature, generate

    return run


def _tanh_parts(x: Lanes) -> tuple[Lanes, Lanes]:
    """Numerator and denominator of an approximation of tanh(x)."""
    return tanh_polynomials(x.above(-TANH_END).below(TANH_END))


def _gate(a: Lanes, b: Lanes) -> Lanes:
    """tanh(a) * sigmoid(b), with one division."""
    (p, q), (u, v) = _tanh_parts(a), _tanh_parts(b * 0.5)
    return p * (u + v) / (q * v * 2.0)


def _rough_gate(a: Lanes, b: Lanes) -> Lanes:
    """tanh(a) * sigmoid(b) = (1 - A) / ((1 + A) (1 + B)), A = exp(-2 a), B = exp(-b): within 2e-4, for bfloat16."""
    first = (a * (-2.0 / math.log(2.0))).below(64.0).power_of_two()
    second = (b * (-1.0 / math.log(2.0))).power_of_two()
    above = first + 1.0
    return (first * -1.0 + 1.0) * (above * second + above).inverse()


def _no_rest(a: Lanes, b: Lanes) -> Lanes:
    return a * 0.0


def _positive_rest(a: Lanes, b: Lanes) -> Lanes:
    """The error of max(a, 0) when it is rounded to bfloat16."""
    positive = a.above(0.0)
    return positive - Lanes(a.builder, a.builder.fpext(positive.rounded(), VECTOR))


def _lanes_at(cg, builder, kind, array, at):
    """Pointer to the LANES numbers from element ``at`` of a flat float32 array."""
    base = builder.ptrtoint(cg.make_array(kind)(cg, builder, array).data, INT64)
    return builder.inttoptr(builder.add(base, builder.mul(at, ir.Constant(INT64, 4))), VECTOR.as_pointer())


@intrinsic
def largest(context, array, at, count):
    """The largest of the first min(count, LANES) numbers from ``at`` on. LANES numbers are read."""

    def generate(cg, builder, signature, values):
        value = builder.load(_lanes_at(cg, builder, signature.args[0], *values[:2]))
        value.align = 4
        return Lanes(builder, value).only(values[2], -3e38).reduced("fmax")

    return types.float32(array, types.intp, types.intp), generate


@intrinsic
def exponentials(context, array, at, count, top, factor):
    """Replace the first min(count, LANES) numbers from ``at`` on by exp((number - top) * factor); returns their sum."""

    def generate(cg, builder, signature, values):
        place = _lanes_at(cg, builder, signature.args[0], *values[:2])
        count, top, factor = values[2:]
        value = builder.load(place)
        value.align = 4
        before = Lanes(builder, value)
        top, factor = (Lanes(builder, spread(builder, one)) for one in (top, factor))
        made = ((before - top) * factor).exp()
        builder.store(made.only(count, before).value, place).align = 4
        return made.only(count, 0.0).reduced("fadd", ir.Constant(FLOAT, 0.0))

    return types.float32(array, types.intp, types.intp, types.float32, types.float32), generate


@intrinsic
def _prefetch(context, array, at):
    """Prefetch the cache line of an element into the second-level cache."""

    def generate(cg, builder, signature, values):
        kind = signature.args[0]
        base = builder.ptrtoint(cg.make_array(kind)(cg, builder, values[0]).data, INT64)
        place = builder.add(base, builder.mul(values[1], ir.Constant(INT64, kind.dtype.bitwidth // 8)))
        pointer = builder.inttoptr(place, ir.IntType(8).as_pointer())
        flags = [ir.Constant(_INT32, flag) for flag in (0, 2, 1)]  # read, second level, data
        signature = ir.FunctionType(ir.VoidType(), [value.type for value in (pointer, *flags)])
        builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0"), [pointer, *flags])
        return cg.get_dummy_value()

    return types.void(array, types.intp), generate


@njit(nogil=True)
def prefetch(array, at, count):
    """Prefetch elements [at, at + count) of a flat array into the second-level cache."""
    for place in range(at, at + count, 64 // array.itemsize):
        _prefetch(array, place)


gates = _pass(_gate, _rough_gate)  # tanh(a) * sigmoid(b)
add = _pass(lambda a, b: a + b)
positive = _pass(lambda a, b: a.above(0.0))  # max(a, 0)
positive_rest = _pass(_no_rest, _positive_rest)  # error of rounding max(a, 0) to the target's dtype; 0 for float32
