"""Walks the opcodes of a pickle and runs nothing.

A pickle is a program that may call any function. This machine knows the opcodes
that plain data need and refuses the rest; what a pickle would call is looked up
in a table of the caller's, by name, and imported from nowhere.
"""

import dataclasses
import io
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, TypeVar, cast

T = TypeVar("T")
_MARK = object()
# An empty list is one byte of a file and 56 of memory. The state dict of the
# original ACT has some 40 for each of its 600 tensors.
_MOST_OPCODES = 1_000_000

# What reading a hostile file may raise: `Refused`, what Python says of bytes
# that make no sense, and what an absurd length asks of memory.
ERRORS = (
  ValueError,
  TypeError,
  KeyError,
  IndexError,
  EOFError,
  OSError,
  RuntimeError,
  OverflowError,
  MemoryError,
)


class Refused(ValueError):
  """The file holds something else than it may."""


@dataclasses.dataclass(frozen=True)
class Global:
  """A name that the pickle would have imported: "module attribute"."""

  name: str


def checked(value: Any, kind: type[T]) -> T:
  """Returns `value` if it is of that type, else raises `Refused`."""
  # Say the type only: the text or hash of hostile nested values takes for ever.
  if not isinstance(value, kind):
    raise Refused(f"{type(value).__name__} in place of {kind.__name__}")
  return value


def no_state(value: Any, state: Any) -> None:
  """Drops the attributes of a dictionary (torch keeps versions there)."""
  checked(state, dict)
  checked(value, dict)


def no_persistent(identity: tuple[Any, ...]) -> Any:
  """Refuses objects that are kept outside the pickle."""
  del identity
  raise Refused("opcode BINPERSID")


class Budget:
  """Bytes that reading one file may make.

  A few opcodes take a value from the memo and copy it, so a small file could
  ask for any amount of memory.
  """

  def __init__(self, most: int) -> None:
    self._left = self._most = most

  def spend(self, count: int) -> None:
    """Counts bytes before they are made; raises `Refused` beyond the sum."""
    self._left -= count
    if self._left < 0:
      raise Refused(f"it would unfold to more than {self._most} bytes")


@dataclasses.dataclass(frozen=True)
class Machine:
  """What a pickle of one kind may hold.

  Attributes:
    calls: global name -> what its call returns, of the arguments; they may be
      anything.
    literals: names of the opcodes that carry a value.
    build: sets the state of an object.
    persistent: returns the object that a tuple stands for.
  """

  calls: Mapping[str, Callable[..., Any]]
  literals: frozenset[str]
  build: Callable[[Any, Any], None] = no_state
  persistent: Callable[[tuple[Any, ...]], Any] = no_persistent

  def run(self, file: io.BufferedIOBase, limit: int) -> Any:
    """Returns the value of the pickle that starts here; reads `limit` bytes.

    Raises:
      Refused: it is not of this kind; other `ERRORS` where it makes no sense.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    start = file.tell()
    opcodes = pickletools.genops(cast(IO[bytes], file))
    for count, (opcode, argument, position) in enumerate(opcodes):
      if position is not None and position - start > limit:
        raise Refused(f"more than {limit} bytes to parse")
      if count > _MOST_OPCODES:
        raise Refused(f"more than {_MOST_OPCODES} opcodes")
      if opcode.name == "STOP":
        return stack.pop()
      if opcode.name in self.literals:
        stack.append(argument)
      elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[checked(argument, int)] = stack[-1]
      elif opcode.name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
      elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[checked(argument, int)])
      elif opcode.name == "GLOBAL":
        stack.append(Global(checked(argument, str)))
      elif opcode.name not in ("PROTO", "FRAME"):
        self._act(opcode.name, stack)
    raise Refused("no end")

  def _act(self, name: str, stack: list[Any]) -> None:
    if name == "REDUCE":
      arguments = checked(stack.pop(), tuple)
      called = checked(stack.pop(), Global).name
      if called not in self.calls:
        raise Refused(f"a call of {called[:100]}")
      stack.append(self.calls[called](*arguments))
    elif name == "BUILD":
      state = stack.pop()
      self.build(stack[-1], state)
    elif name == "BINPERSID":
      stack.append(self.persistent(checked(stack.pop(), tuple)))
    elif name in _ACTIONS:
      _ACTIONS[name](stack)
    else:
      raise Refused(f"opcode {name}")


def _pop_to_mark(stack: list[Any]) -> list[Any]:
  items = []
  while (item := stack.pop()) is not _MARK:
    items.append(item)
  return items[::-1]


def _put(count: int) -> Callable[[list[Any]], None]:
  """Returns the action of TUPLE1 to TUPLE3."""

  def action(stack: list[Any]) -> None:
    items = tuple(stack[-count:])
    del stack[-count:]
    stack.append(items)

  return action


def _set_items(stack: list[Any]) -> None:
  items = _pop_to_mark(stack)
  names = [checked(name, str) for name in items[::2]]
  checked(stack[-1], dict).update(zip(names, items[1::2], strict=True))


def _set_item(stack: list[Any]) -> None:
  value, name = stack.pop(), stack.pop()
  stack.extend((_MARK, name, value))
  _set_items(stack)


def _append(stack: list[Any], items: list[Any]) -> None:
  checked(stack[-1], list).extend(items)


def _stack_global(stack: list[Any]) -> None:
  name, module = stack.pop(), stack.pop()
  stack.append(Global(f"{checked(module, str)} {checked(name, str)}"))


_ACTIONS: dict[str, Callable[[list[Any]], None]] = {
  "APPEND": lambda stack: _append(stack, [stack.pop()]),
  "APPENDS": lambda stack: _append(stack, _pop_to_mark(stack)),
  "EMPTY_DICT": lambda stack: stack.append({}),
  "EMPTY_LIST": lambda stack: stack.append([]),
  "EMPTY_TUPLE": lambda stack: stack.append(()),
  "MARK": lambda stack: stack.append(_MARK),
  "NEWFALSE": lambda stack: stack.append(False),
  "NEWTRUE": lambda stack: stack.append(True),
  "NONE": lambda stack: stack.append(None),
  "SETITEM": _set_item,
  "SETITEMS": _set_items,
  "STACK_GLOBAL": _stack_global,
  "TUPLE": lambda stack: stack.append(tuple(_pop_to_mark(stack))),
  "TUPLE1": _put(1),
  "TUPLE2": _put(2),
  "TUPLE3": _put(3),
}
