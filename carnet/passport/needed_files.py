"""The files without which a checkpoint cannot act or be examined."""

from collections.abc import Iterator

from carnet import errors
from carnet.checkpoint import manifest as manifest_lib
from carnet.passport import context, contract, history

METADATA = "_METADATA"  # Orbax's, of one item
_OCDBT = "manifest.ocdbt"


def named(found: context.Context) -> Iterator[tuple[str, str]]:
  """Yields paths, with what each is; some may be there twice.

  Directories of Orbax are told by their metadata; what data files they have
  only a manifest tells.
  """
  passport = found.passport
  yield passport.provenance.config_path, "the configuration"
  for fingerprint in fingerprints(found):
    yield fingerprint.file, "statistics"
  yield from _reference(passport.reference_test_vector)
  log = passport.provenance.run_log_path
  if log is not None and "://" not in log:
    yield log, "the log of the run"
  if passport.weight_integrity.checkpoint_format.kind == "carnet":
    yield manifest_lib.NAME, "the manifest"
  for file in _of_manifest(found):
    yield file.path, "a file of the manifest"
  for item in items(found):
    for name in (METADATA, _OCDBT):
      yield f"{item}{name}", "of an Orbax item"


def items(found: context.Context) -> tuple[str, ...]:
  """Returns the directories with Orbax's metadata: "agent/", "" is the root."""
  names = [e.path for e in found.entries if e.kind == "file"]
  return tuple(
    name.removesuffix(METADATA)
    for name in names
    if name.split("/")[-1] == METADATA
  )


def fingerprints(found: context.Context) -> Iterator[contract.Fingerprint]:
  """Yields all that pins statistics, of contract and pipeline."""
  told = found.passport.input_contract
  if told is not None:
    specs = [image.normalization for image in told.images]
    specs += [told.state.normalization, told.actions.normalization]
    for spec in specs:
      if spec is not None and spec.stats_fingerprint is not None:
        yield spec.stats_fingerprint
  for step in found.passport.transform_pipeline:
    fingerprint = getattr(step.params, "statistics", None)
    if fingerprint is not None:
      yield fingerprint


def _of_manifest(found: context.Context) -> tuple[manifest_lib.File, ...]:
  try:
    return found.manifest.files if found.manifest else ()
  except errors.UserError:
    return ()  # manifest_sound tells


def _reference(
  vector: history.ReferenceVector | None,
) -> Iterator[tuple[str, str]]:
  if vector is None:
    return
  for name in (vector.input_state_path, vector.expected_actions_path):
    if name is not None:
      yield name, "reference data"
  for camera, shas in vector.input_images_hash.items():
    for index in range(len(shas) if vector.input_images_path else 0):
      name = f"{vector.input_images_path}/{camera}_{index:03d}.png"
      yield name, "a reference frame"
