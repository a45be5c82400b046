"""Answers that several checks of one run ask for, found once."""

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

from carnet.passport import context

Answer = TypeVar("Answer")


class Once(Generic[Answer]):
  """A function of a checkpoint that runs once a checkpoint, failures too.

  `functools.lru_cache` keeps no failure, and each check would wait for its own.
  """

  def __init__(self, function: Callable[[context.Context], Answer]) -> None:
    functools.update_wrapper(self, function)
    self._function = function
    self._last: tuple[context.Context, Answer | Exception] | None = None

  def __call__(self, found: context.Context) -> Answer:
    """Returns the answer, or raises the failure, of the first call."""
    if self._last is None or self._last[0] is not found:
      self._last = (found, self._ask(found))
    answer = self._last[1]
    if isinstance(answer, Exception):
      raise answer
    return answer

  def _ask(self, found: context.Context) -> Answer | Exception:
    try:
      return self._function(found)
    except Exception as error:
      return error
