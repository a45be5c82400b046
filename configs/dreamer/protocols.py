"""Variants of configurations: "task", or "task,protocol"."""

from collections.abc import Sequence

from carnet import errors


def parse(variant: str, protocols: Sequence[str]) -> tuple[str, str]:
  """Returns the task and the protocol, the first if none is named.

  Raises:
    UserError: there is no such protocol.
  """
  task, _, protocol = variant.partition(",")
  if protocol and protocol not in protocols:
    raise errors.unknown("protocol", protocol, protocols)
  return task, protocol or protocols[0]
