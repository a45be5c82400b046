"""The way from sensor to action: there, in order, as the contract has it."""

from collections.abc import Iterator
from typing import Any

from carnet import errors
from carnet.passport import (
  chains,
  context,
  contract,
  difference,
  outcome,
  prepared,
  steps,
)
from carnet.passport import pipeline as pipeline_lib
from carnet.passport.checks import formulas, parts

_STAGES: tuple[pipeline_lib.Stage, ...] = ("pre", "post")
_EXECUTORS: tuple[pipeline_lib.Executor, ...] = ("environment", "policy")
_AVERAGE = ("temporal_ensemble_coefficient", "temporal_ensemble_coeff")


def pipeline_nonempty(found: context.Context) -> outcome.Finding:
  """Pass: steps are recorded. Fail: none is."""
  listed = found.passport.transform_pipeline
  if not listed:
    return outcome.failed(
      "nothing tells what happens between sensor and model",
      "/transform_pipeline",
      "at least one step",
      "none",
      parts.GENERATE,
    )
  return outcome.passed(" -> ".join(step.op for step in listed))


def pipeline_order(found: context.Context) -> outcome.Finding:
  """Pass: steps count from 0, and read what is there by then. Fail: else."""
  listed = found.passport.transform_pipeline
  chains.check(listed)
  where = "/transform_pipeline"
  faults = [*_early(listed), *_strangers(found)]
  try:
    pipeline_lib.check(listed)
    for stage in _STAGES:
      for executor in _EXECUTORS:
        pipeline_lib.outputs(listed, stage, executor)
  except errors.UserError as error:
    faults.append(outcome.failed(str(error), where, remedy=parts.GENERATE))
  return outcome.first(faults, f"{len(listed)} steps in order")


def _early(listed: chains.Steps) -> Iterator[outcome.Finding]:
  """Yields steps that read what only a later one makes."""
  makers: dict[tuple[str, str], int] = {}
  for index, step in enumerate(listed):
    makers.setdefault((step.stage, step.output_key), index)
  for index, step in enumerate(listed):
    for key in pipeline_lib.reads(step):
      maker = makers.get((step.stage, key), index)
      if maker > index and key not in pipeline_lib.reads(listed[maker]):
        yield outcome.failed(
          f"step {index} ({step.op}) reads '{key}', which step {maker} makes",
          f"/transform_pipeline/{index}/input_key",
          "a key that is there by then",
          key,
          parts.GENERATE,
        )


def _strangers(found: context.Context) -> Iterator[outcome.Finding]:
  """Yields keys that neither the contract nor the model provides."""
  needed, listed = found.passport.input_contract, found.passport
  if needed is None or not listed.transform_pipeline:
    return
  keys = chains.sources(listed.transform_pipeline, "pre")
  vectors = chains.vector_keys(listed.transform_pipeline, needed.images)
  if vectors and not needed.state.dim:
    yield outcome.failed(
      f"steps read {', '.join(vectors)}, the contract has no state",
      "/transform_pipeline",
      ", ".join(image.key for image in needed.images),
      ", ".join(keys),
      parts.GENERATE,
    )
  graph = listed.model_internals.forward_graph
  outputs = chains.sources(listed.transform_pipeline, "post")
  made = set(graph.outputs) if graph else set(outputs)
  for key in outputs:
    if key not in made:
      yield outcome.failed(
        f"steps read '{key}', which the model does not give",
        "/transform_pipeline",
        ", ".join(sorted(made)),
        key,
        parts.GENERATE,
      )


@parts.with_contract
def pipeline_matches_contract(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: every formula of the contract is its steps, with its numbers.

  And the other way round: no step changes what the contract leaves alone.
  Fail: else; each difference is listed.
  """
  listed = found.passport.transform_pipeline
  chains.check(listed)
  rows: list[difference.Difference] = []
  for index, image in enumerate(needed.images):
    where = f"/input_contract/images/{index}"
    way = chains.of(listed, "pre", chains.image_key(listed, image))
    rows += formulas.of_image(way, image, where)
    rows += _sizes(way, image, where)
  for key in chains.vector_keys(listed, needed.images):
    way = chains.of(listed, "pre", key)
    rows += formulas.of_vector(way, needed.state, key)
  rows += formulas.of_state(listed, needed)
  rows += formulas.of_actions(listed, needed.actions)
  rows += _execution(found, listed, needed)
  if rows:
    return parts.differ(rows, "the contract")
  return outcome.passed(f"{len(listed)} steps as the contract has them")


def _sizes(
  way: chains.Steps, image: contract.Image, where: str
) -> list[difference.Difference]:
  """Compares what changes the size and the colours of a picture."""
  resizes = [step for step in way if step.op == "resize"]
  wanted = formulas.plain(image.resize)
  rows: list[difference.Difference] = []
  if wanted is None or not resizes:
    if wanted is not None or resizes:
      present = formulas.plain(resizes[0].params) if resizes else None
      rows.append(difference.Difference(f"{where}/resize", present, wanted))
  else:
    for step in resizes:
      place = f"/transform_pipeline/{step.index}/params"
      present = formulas.plain(step.params)
      rows += difference.differences(wanted, present, place)
  if image.resize is not None:
    size = [image.resize.height, image.resize.width]
    shape = list(image.shape[:2])
    rows += difference.differences(size, shape, f"{where}/shape")
  if any(step.op == "gray" for step in way) and image.shape[2] != 1:
    rows.append(difference.Difference(f"{where}/shape/2", 1, image.shape[2]))
  return rows


def _execution(
  found: context.Context, listed: chains.Steps, needed: contract.InputContract
) -> list[difference.Difference]:
  """Compares how chunks are executed, and how often actions are repeated."""
  actions, repeat = needed.actions, needed.temporal.action_repeat
  told = found.passport.output_spec.inference_parameters
  wanted: dict[str, Any] = {
    "horizon": actions.horizon,
    "n_action_steps": actions.n_action_steps,
  }
  for name in _AVERAGE:
    if name in told:
      wanted[_AVERAGE[0]] = told[name]
  rows: list[difference.Difference] = []
  chunks = [step for step in listed if isinstance(step, steps.Execute)]
  if len(chunks) > 1 or (actions.horizon > 1 and not chunks):
    rows.append(
      difference.Difference(
        "/transform_pipeline", "one execute_chunk", len(chunks)
      )
    )
  for step in chunks:
    present = formulas.plain(step.params)
    where = f"/transform_pipeline/{step.index}/params"
    rows += difference.differences(
      wanted, {name: present[name] for name in wanted}, where
    )
  repeats = [step for step in listed if isinstance(step, steps.Repeat)]
  if repeat > 1 and not repeats:
    rows.append(
      difference.Difference("/transform_pipeline", "repeat_action", None)
    )
  for one in repeats:
    where = f"/transform_pipeline/{one.index}/params/times"
    rows += difference.differences(repeat, one.params.times, where)
  return rows


@parts.with_contract
def single_resize(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: a picture is resized at most once. Soft: twice, which loses detail.

  Elsewhere a second resize took success from 80 % to nothing.
  """
  listed = found.passport.transform_pipeline
  chains.check(listed)
  faults = []
  for image in needed.images:
    way = chains.of(listed, "pre", chains.image_key(listed, image))
    places = [step.index for step in way if step.op == "resize"]
    if len(places) > 1:
      faults.append(
        outcome.failed(
          f"'{image.key}' is resized {len(places)} times",
          f"/transform_pipeline/{places[1]}",
          "one resize",
          f"steps {places}",
          "resize once, to the size of the training",
        )
      )
  return outcome.first(faults, f"{len(needed.images)} cameras")


def pipeline_matches_code(found: context.Context) -> outcome.Finding:
  """Pass: the pipeline makes of reference frames what the policy's code makes.

  Fail: else. Not checked: nobody signs and --rerun is not given, no frames, or
  no code of the policy here.
  """
  if not (found.options.rerun or found.options.compare_code):
    return outcome.not_checked(
      "compared when it is signed, and on request", "--rerun"
    )
  vector = found.passport.reference_test_vector
  if vector is None or found.passport.input_contract is None:
    return outcome.not_checked("there is no reference data", parts.MEASURE)
  code = prepared.by_code(found)
  if code is None:
    return outcome.not_checked(
      "the policy's own code is not here", "--rerun, where the policy runs"
    )
  faults = [
    outcome.failed(
      why,
      f"/transform_pipeline ({key})",
      "what the policy's code makes",
      "what the pipeline makes",
      "generate-passport with the code of the training",
    )
    for key, why in prepared.compare(found, code)
  ]
  return outcome.first(faults, f"{vector.n_frames} frames, alike to 1e-5")


CHECKS = outcome.group(
  "pipeline",
  hard=(
    pipeline_nonempty,
    pipeline_order,
    pipeline_matches_contract,
    pipeline_matches_code,
  ),
  soft=(single_resize,),
  needs={"pipeline_matches_code": ("model",)},
)
