"""Things that hold open files, and are sent to other processes without them."""

import abc
from typing import Any, ClassVar


class Reopening(abc.ABC):
  """Is pickled without what `_open` makes, and opens it where it arrives.

  Attributes:
    made: names of the attributes that `_open` sets.
  """

  made: ClassVar[tuple[str, ...]]

  @abc.abstractmethod
  def _open(self) -> None:
    """Sets them; locks, caches and handles, as for a new object."""

  def __getstate__(self) -> dict[str, Any]:
    return {k: v for k, v in self.__dict__.items() if k not in self.made}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state)
    self._open()
