"""Whether the code that measures a policy is the code that trained it."""

import pathlib
import sys

from carnet import repository, sources
from carnet.passport import family, history

CHECK = "model_source_at_commit"


def issues(
  class_module: str | None, trained: repository.Repository | None
) -> tuple[history.KnownIssue, ...]:
  """Returns a known issue where other code measures than trained.

  Only code of an installed family can be told: what runs a foreign policy is
  that program's own.

  Args:
    class_module: the module of the model's class.
    trained: the code of the training, as captured at its launch.
  """
  present = _present((class_module or "").partition(".")[0])
  if trained is None or present is None or _same(trained, present):
    return ()
  return (
    history.KnownIssue(
      id="measured-with-other-code",
      title=f"trained with {_name(trained)}, measured with {_name(present)}",
      severity="medium",
      affected="all",
      workaround="check the code of the training out, and generate-passport",
      check_type="code",
      check_id=CHECK,
    ),
  )


def _present(package: str) -> repository.Repository | None:
  """Returns the identity of a family's code in this environment."""
  known = {entry.module for entry in family.entries(family.GROUP)}
  module = next((x for x in known if x.partition(".")[0] == package), None)
  if module is None or module not in sys.modules:
    return None
  place = sys.modules[module].__file__
  return sources.code(pathlib.Path(place)) if place else None


def _same(one: repository.Repository, two: repository.Repository) -> bool:
  if one.commit is None:
    return one.package == two.package
  return (one.commit, one.diff_sha256) == (two.commit, two.diff_sha256)


def _name(code: repository.Repository) -> str:
  if code.commit is None:
    return code.package or "code that nobody knows"
  changed = f" and changes {(code.diff_sha256 or '?')[:12]}" * bool(code.dirty)
  return f"commit {code.commit[:12]}{changed}"
