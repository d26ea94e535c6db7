"""Triton's interpreter, made to run the programs of a launch side by side, as those of a team wait for each other.

To be imported before anything that imports triton. Every program is a process of its own that works on shared memory.
The interpreter of Triton 3.6 and 3.7 also lacks products of bfloat16, and takes arrays of one number as numbers, which
NumPy 2.4 no longer allows.
"""

import os
import time

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, TensorHandle

missing: set[int] = set()  # programs that never start

_dot, _load = InterpreterBuilder.create_dot, InterpreterBuilder.create_load
_patch, _run = interpreter._patch_lang_tensor, GridExecutor.__call__


def _patch_lang_tensor(tensor, scope):
    _patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))


def _float32(handle: TensorHandle) -> TensorHandle:
    if handle.dtype.scalar != tl.bfloat16:
        return handle
    return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)


def _create_dot(self, a, b, d, *settings):
    return _dot(self, _float32(a), _float32(b), d, *settings)


def _create_load(self, *arguments):
    if arguments[-1]:  # is volatile: somebody waits, and others may need the core
        time.sleep(0.001)
    return _load(self, *arguments)


def _become(program: int) -> None:
    interpreter.interpreter_builder.grid_idx = (program, 0, 0)


def _side_by_side(self, *args, **kwargs):
    """Run each program in a process; its number takes the place of the only one of a grid."""
    for each in (*args, *kwargs.values()):
        if isinstance(each, torch.Tensor):
            each.share_memory_()
    (programs,), self.grid = self.grid, (1,)
    self._restore_args_dev = lambda *arguments: None  # the processes work on the memory itself
    children = []
    for program in set(range(programs)) - missing:
        child = os.fork()
        if not child:
            try:
                interpreter.interpreter_builder.set_grid_idx = lambda *place, program=program: _become(program)
                _run(self, *args, **kwargs)
                os._exit(0)
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(1)
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        raise RuntimeError("a program failed")


interpreter._patch_lang_tensor = _patch_lang_tensor
InterpreterBuilder.create_dot, InterpreterBuilder.create_load = _create_dot, _create_load
GridExecutor.__call__ = _side_by_side
