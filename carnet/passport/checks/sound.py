"""What checks share: needs that other checks report, and short lists."""

import functools
from collections.abc import Callable, Collection

from carnet import errors
from carnet.passport import (
  context,
  orbax_metadata,
  outcome,
  shown,
  stored_leaves,
)

_Run = Callable[[context.Context], outcome.Finding]
_EXAMPLES = 3


def needed(check: _Run) -> _Run:
  """Makes a check wait until manifest, metadata and configuration are sound.

  They have checks of their own: manifest_sound, orbax_metadata_safe and
  file_roles tell what is wrong, once.
  """

  @functools.wraps(check)
  def run(found: context.Context) -> outcome.Finding:
    try:
      orbax_metadata.read(found)
      stored_leaves.acting(found)
    except errors.UserError:
      return outcome.not_checked(
        "the manifest, Orbax's metadata or config.json is not sound"
      )
    return check(found)

  return run


def absent(found: context.Context, field: str) -> outcome.Finding:
  """Returns the finding about internals that the passport does not have."""
  evidence = f"the passport has no {field}"
  remedy = "generate-passport in the model's own environment"
  if not found.options.require_signoff:
    return outcome.not_checked(evidence, remedy)
  return outcome.failed(evidence, f"/model_internals/{field}", remedy=remedy)


def apart(one: Collection[str], other: Collection[str]) -> tuple[str, str]:
  """Returns names that only the first has, and only the second, as examples."""
  first, second = set(one), set(other)
  return examples(first - second), examples(second - first)


def examples(names: Collection[str]) -> str:
  """Returns a few of the names, with how many more there are."""
  first = [shown.cut(name, 80) for name in sorted(names)[:_EXAMPLES]]
  more = len(names) - len(first)
  return ", ".join(first) + (f" and {more} more" if more else "")
