"""The content of the arrays: as recorded, and on request read again."""

from collections.abc import Iterator, Mapping

from carnet.checkpoint import digest
from carnet.passport import context as context_lib
from carnet.passport import (
  outcome,
  recomputed,
  shown,
  stored_leaves,
)
from carnet.passport.checks import sound
from carnet.passport.static import internals

_INTERNALS = "/model_internals"
_DIGEST = f"{_INTERNALS}/tree_digest"
_HEALTH = f"{_INTERNALS}/numerical_health"
_COUNTED = ("total_params", "trainable", "frozen", "bytes", "dtype_breakdown")
_ANEW = "generate-passport"
_EARLIER = "take an earlier step: this one diverged"


@sound.needed
def param_totals(found: context_lib.Context) -> outcome.Finding:
  """Pass: the counts of parameters are those of the stored leaves. Fail: else.

  Not checked: the passport does not tell.
  """
  told = found.passport.model_internals.parameters
  if told is None:
    return sound.absent(found, "parameters")
  if found.manifest:
    trainable = stored_leaves.described(found).trainable
    counted = internals.parameters(stored_leaves.acting(found), trainable)
    pairs = [(n, getattr(counted, n), getattr(told, n)) for n in _COUNTED]
  else:
    parts = told.trainable + told.frozen
    counts = sum(told.dtype_breakdown.values())
    declared = found.passport.weight_integrity.checkpoint_format
    pairs = [
      ("total_params", parts, told.total_params),
      ("dtype_breakdown", told.total_params, counts),
      ("bytes", declared.declared_array_bytes, told.bytes),
    ]
  return outcome.first(
    (
      outcome.failed(
        f"{name} is not what the leaves add up to",
        f"{_INTERNALS}/parameters/{name}",
        told_value,
        counted_value,
        _ANEW,
      )
      for name, counted_value, told_value in pairs
      if counted_value != told_value
    ),
    f"{told.total_params} parameters, {told.bytes} bytes",
  )


@sound.needed
def tree_digest(found: context_lib.Context) -> outcome.Finding:
  """Pass: the digests of leaves are the manifest's, and give the root.

  Fail: else. Not checked: the passport does not tell. Of the arrays
  themselves `tree_digest_recomputed` tells.
  """
  told = found.passport.model_internals.tree_digest
  if told is None:
    return sound.absent(found, "tree_digest")
  root, count = digest.tree(told.leaves.items()), len(told.leaves)
  faults = [
    outcome.failed(
      f"{name} is not that of the listed leaves",
      f"{_DIGEST}/{name}",
      declared,
      counted,
      _ANEW,
    )
    for name, declared, counted in (
      ("root", told.root, root),
      ("leaf_count", told.leaf_count, count),
    )
    if declared != counted
  ]
  if found.manifest:
    stored = {leaf.path: leaf.sha256 for leaf in found.manifest.leaves}
    faults += _digest_faults(told.leaves, stored, "in the manifest")
  else:
    known = dict.fromkeys(stored_leaves.names(found), "")
    unknown, _ = sound.apart(told.leaves, known)
    if unknown:
      evidence = f"leaves that are not stored: {unknown}"
      faults.append(outcome.failed(evidence, f"{_DIGEST}/leaves"))
  return outcome.first(faults, f"{count} leaves, root {told.root[:12]}...")


@sound.needed
def tree_digest_recomputed(found: context_lib.Context) -> outcome.Finding:
  """Pass: arrays that were read have the digests of the passport. Fail: else.

  Not checked: without --rerun, or the passport does not tell.
  """
  told = found.passport.model_internals.tree_digest
  if told is None:
    return sound.absent(found, "tree_digest")
  read = recomputed.read(found)
  stored = {path: array.sha256 for path, array in read.items()}
  if found.manifest is None:
    # others may name leaves without the item, and know of fewer
    stored |= {path.partition("/")[2]: sha for path, sha in stored.items()}
    stored = {path: stored[path] for path in told.leaves if path in stored}
  faults = _digest_faults(told.leaves, stored, "as read")
  return outcome.first(faults, f"{len(read)} arrays read and hashed")


def weights_finite(found: context_lib.Context) -> outcome.Finding:
  """Pass: every weight was a number. Fail: one was NaN or infinite.

  Not checked: the passport does not tell.
  """
  told = found.passport.model_internals.numerical_health
  if told is None:
    return sound.absent(found, "numerical_health")
  if not told.weights_finite:
    where = f"{_HEALTH}/weights_finite"
    return outcome.failed("a weight is no number", where, True, False, _EARLIER)
  return outcome.passed(f"all weights finite, on {shown.cut(told.platform)}")


@sound.needed
def weights_finite_recomputed(found: context_lib.Context) -> outcome.Finding:
  """Pass: no weight that acting needs is NaN or infinite. Fail: one is.

  Not checked: without --rerun.
  """
  read = recomputed.read(found)
  needed = {leaf.path for leaf in stored_leaves.acting(found)} or set(read)
  faults = [
    outcome.failed(
      f"{shown.cut(path)} has {array.not_finite} values that are no numbers",
      f"{_DIGEST}/leaves/{_escaped(path)}",
      0,
      array.not_finite,
      _EARLIER,
    )
    for path, array in read.items()
    if array.not_finite and path in needed
  ]
  return outcome.first(faults, f"{len(needed)} arrays read, all finite")


def health(found: context_lib.Context) -> outcome.Finding:
  """Pass: two forwards with one seed were equal, and all numbers. Fail: else.

  On accelerators they may differ by what the smoke test of determinism
  declares. Not checked: the passport does not tell.
  """
  told = found.passport.model_internals.numerical_health
  if told is None:
    return sound.absent(found, "numerical_health")
  smoke = found.passport.output_spec.smoke_results
  declared = smoke is not None and told.platform != "cpu"
  allowed = smoke.determinism.allowed if smoke and declared else 0.0
  values = (
    ("n_nan", told.n_nan, 0.0),
    ("n_inf", told.n_inf, 0.0),
    ("max_abs_diff", told.max_abs_diff, allowed),
  )
  faults = [
    outcome.failed(
      f"{name} of two forwards is {value}",
      f"{_HEALTH}/{name}",
      most,
      value,
      _EARLIER,
    )
    for name, value, most in values
    if not 0 <= value <= most
  ]
  return outcome.first(faults, f"two forwards differ by {told.max_abs_diff}")


CHECKS = outcome.group(
  "orbax",
  hard=(
    param_totals,
    tree_digest,
    tree_digest_recomputed,
    weights_finite,
    weights_finite_recomputed,
    health,
  ),
  needs={
    "tree_digest_recomputed": ("rerun",),
    "weights_finite_recomputed": ("rerun",),
  },
)


def _digest_faults(
  told: Mapping[str, str], stored: Mapping[str, str], what: str
) -> Iterator[outcome.Finding]:
  missing, more = sound.apart(told, stored)
  where = f"{_DIGEST}/leaves"
  if missing:
    yield outcome.failed(f"leaves are not there {what}: {missing}", where)
  if more:
    yield outcome.failed(
      f"leaves {what} are not in the passport: {more}", where, remedy=_ANEW
    )
  for path in sorted(told.keys() & stored.keys()):
    if told[path] != stored[path]:
      yield outcome.failed(
        f"{shown.cut(path)} has another digest {what}",
        f"{where}/{_escaped(path)}",
        told[path],
        stored[path],
        "the weights were exchanged: copy the checkpoint again",
      )


def _escaped(path: str) -> str:
  """Returns a path as one part of a JSON pointer (RFC 6901)."""
  return shown.cut(path.replace("~", "~0").replace("/", "~1"))
