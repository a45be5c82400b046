"""Real observations that travel along, and the answers of the policy."""

from collections.abc import Iterator

import numpy as np

from carnet.passport import context, contract, history, outcome, reference_data
from carnet.passport.checks import golden, live, parts, realism

_FEWEST = 2  # frames, or nothing moves between them


@parts.with_contract
def reference_present(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: frames of every camera, states, and the policy's answers are there.

  Fail: else.
  """
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.failed(
      "no reference data: nothing shows that the policy still answers alike",
      "/reference_test_vector",
      "real frames",
      "null",
      parts.MEASURE,
    )
  faults = [*_absent(found, needed, vector)]
  return outcome.first(
    faults,
    f"{vector.n_frames} frames of episode {vector.episode} of "
    f"'{vector.source_dataset}'",
  )


def _absent(
  found: context.Context,
  needed: contract.InputContract,
  vector: history.ReferenceVector,
) -> Iterator[outcome.Finding]:
  where = "/reference_test_vector"
  if vector.n_frames < _FEWEST:
    yield outcome.failed(
      f"{vector.n_frames} frame shows no motion",
      f"{where}/n_frames",
      f"at least {_FEWEST}",
      vector.n_frames,
      parts.MEASURE,
    )
  if needed.state.dim and not vector.input_state_path:
    yield outcome.failed(
      "the policy sees a state, none is recorded",
      f"{where}/input_state_path",
      remedy=parts.MEASURE,
    )
  if bool(vector.input_state_path) != bool(vector.input_state_hash):
    yield outcome.failed(
      "states have a path or a digest, not both",
      f"{where}/input_state_hash",
      remedy=parts.MEASURE,
    )
  cameras = {image.short_key for image in needed.images}
  recorded = vector.input_images_hash
  if cameras != recorded.keys() or (cameras and not vector.input_images_path):
    yield outcome.failed(
      "frames are not of the contract's cameras",
      f"{where}/input_images_hash",
      ", ".join(sorted(cameras)) or "none",
      ", ".join(sorted(recorded)) or "none",
      parts.MEASURE,
    )
  for camera, hashes in recorded.items():
    if len(hashes) != vector.n_frames:
      yield outcome.failed(
        f"{len(hashes)} frames of '{camera}', {vector.n_frames} in all",
        f"{where}/input_images_hash/{camera}",
        vector.n_frames,
        len(hashes),
        parts.MEASURE,
      )
  for name in reference_data.names(vector, needed.images):
    if parts.on_disk(found, name) is None:
      yield outcome.failed(f"{name} is missing", name, remedy=parts.MEASURE)


@parts.with_contract
def reference_hashes(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: reference files are the recorded ones, and listed. Fail: else."""
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  rows = reference_data.names(vector, needed.images)
  listing, faults = parts.declared(found), []
  for name, sha256 in rows.items():
    present = parts.on_disk(found, name)
    listed = listing.get(name)
    if present != sha256 or listed != sha256:
      which = "the file differs" if present != sha256 else "the listing differs"
      faults.append(
        outcome.failed(
          f"{name}: {which}",
          name,
          sha256,
          (present if present != sha256 else listed) or "nothing",
          "restore the file, or generate and sign again",
        )
      )
  return outcome.first(faults, f"{len(rows)} files agree")


@parts.with_contract
def reference_shapes(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: frames, states and actions have the contract's sizes. Fail: else.

  Sizes of pictures are read from their first bytes, before decoding.
  """
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  faults = [*_frames(found, needed, vector), *_arrays(found, needed, vector)]
  return outcome.first(faults, f"{vector.n_frames} frames of the right sizes")


def _frames(
  found: context.Context,
  needed: contract.InputContract,
  vector: history.ReferenceVector,
) -> Iterator[outcome.Finding]:
  reference_data.check_count(vector)
  for image in needed.images:
    resized = any(
      step.op == "resize" and step.executed_by == "policy"
      for step in found.passport.transform_pipeline
    )
    for index in range(vector.n_frames):
      name = reference_data.frame_path(vector, image, index)
      declared = reference_data.header(reference_data.read(found, name), name)
      pixels = declared.height * declared.width
      wrong = declared.shape != image.shape and not resized
      if wrong or pixels > reference_data.LARGEST_PIXELS or declared.bits != 8:
        yield outcome.failed(
          f"{name} declares {list(declared.shape)} of {declared.bits} bits, "
          f"'{image.key}' is {list(image.shape)}",
          name,
          list(image.shape),
          list(declared.shape),
          parts.MEASURE,
        )


def _arrays(
  found: context.Context,
  needed: contract.InputContract,
  vector: history.ReferenceVector,
) -> Iterator[outcome.Finding]:
  rows = {vector.expected_actions_path: needed.actions.dim}
  if vector.input_state_path:
    rows[vector.input_state_path] = parts.raw_width(needed.state)
  for name, width in rows.items():
    array = reference_data.array(found, name)
    if array.shape != (vector.n_frames, width) or array.dtype.kind not in "fiu":
      yield outcome.failed(
        f"{name} is {array.dtype} {list(array.shape)}",
        name,
        f"numbers [{vector.n_frames}, {width}]",
        f"{array.dtype} {list(array.shape)}",
        parts.MEASURE,
      )


@parts.with_contract
def reference_range(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: pixels and states are in the units that the contract names.

  Soft: pixels beyond the range or in a sliver of it, states of no number.
  """
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  faults, rows = [], []
  for index, image in enumerate(needed.images):
    pixels = reference_data.frames(found, vector, image)
    low, high = int(pixels.min()), int(pixels.max())
    rows.append(f"'{image.key}' {low}..{high}")
    first, last = image.value_range
    if image.dtype != "uint8":  # PNG keeps 0..1 as 0..255
      first, last = 0.0, 255.0
    dark = high - low <= 1 < last - first
    if low < first or high > last or dark:
      faults.append(
        outcome.failed(
          f"pixels of '{image.key}' are {low}..{high}",
          f"/input_contract/images/{index}/value_range",
          f"{first:g}..{last:g}",
          f"{low}..{high}",
          "are 0..1 and 0..255 confused, or the lens covered?",
        )
      )
  if vector.input_state_path:
    states = reference_data.matrix(found, vector.input_state_path)
    if not np.all(np.isfinite(states)):
      faults.append(
        outcome.failed("states hold no numbers", vector.input_state_path)
      )
  return outcome.first(faults, ", ".join(rows) or "no cameras")


@parts.with_contract
def reference_vector_real(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: the data looks recorded. Soft: it looks made up.

  In pictures of the world neighbours agree, and consecutive frames are alike
  and not equal; states move slowly against their range.
  """
  vector = found.passport.reference_test_vector
  if vector is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  faults, rows = [], []
  for image in needed.images:
    pixels = reference_data.frames(found, vector, image)
    rows.append(f"'{image.key}' {realism.neighbours(pixels):.2f}")
    faults += [
      outcome.failed(
        f"frames of '{image.key}' {why}",
        f"/reference_test_vector/input_images_hash/{image.short_key}",
        remedy="record them from an episode of the training data",
      )
      for why in realism.faults_of_pictures(pixels)
    ]
  if vector.input_state_path:
    states = reference_data.matrix(found, vector.input_state_path)
    faults += [
      outcome.failed(
        f"states {why}",
        vector.input_state_path,
        remedy="record them from an episode of the training data",
      )
      for why in realism.faults_of_vectors(states)
    ]
  beside = "neighbouring pixels correlate: " + ", ".join(rows)
  return outcome.first(faults, beside if rows else "states move as recorded")


CHECKS = outcome.group(
  "reference",
  hard=(
    reference_present,
    reference_hashes,
    reference_shapes,
    golden.golden_actions_sane,
  ),
  soft=(
    reference_range,
    reference_vector_real,
    live.cameras_see_as_trained,
  ),
)
