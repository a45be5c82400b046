"""What files tell of an ACT checkpoint, and that its pipeline is the code."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_config

from act import (
  contract,
  evaluation,
  features,
  learner,
  normalize,
  policy,
  subject,
)
from act import train as act_train
from carnet import checkpoint, errors
from carnet import config as config_lib
from carnet import policy as loading
from carnet.checkpoint import digest
from carnet.passport import pipeline
from carnet.passport import steps as steps_lib

SPEC = features.Features(
  (("top", (32, 32, 3)), ("wrist", (16, 24, 3))), action_size=3, state_size=2
)
MODES = ("identity", "mean_std", "min_max", "quantiles", "quantile10")
RANGED = {
  "min_max": ("min", "max"),
  "quantiles": ("q01", "q99"),
  "quantile10": ("q10", "q90"),
}


def block(size, seed):
  """Returns statistics of `size` numbers; the last hardly varies."""
  rng = np.random.default_rng(seed)
  values = np.sort(rng.normal(size=(7, size)), axis=0)
  names = ("min", "q01", "q10", "mean", "q90", "q99", "max")
  found = dict(zip(names, values.tolist(), strict=True))
  found["std"] = [*(0.1 + rng.random(size - 1)).tolist(), 1e-4]
  return found


STATISTICS = {
  "images/top": block(3, 0),
  "images/wrist": block(3, 1),
  "state": block(2, 2),
  "action": block(3, 3),
}


def make_config(model=None, **normalization):
  config = tiny_config.get_config()
  config.normalization.update(normalization)
  config.model.update(model or {})
  return config


def write(path, config, spec=SPEC, statistics=STATISTICS, **more):
  """Writes the small files of a checkpoint, as training does."""
  path.mkdir(exist_ok=True)
  files = {
    "config.json": config_lib.to_json(config),
    "features.json": features.to_json(spec),
    "stats.json": statistics,
    "dataset.json": {"control_hz": 50.0},
    **more,
  }
  for name, value in files.items():
    (path / name).write_text(json.dumps(value))
  return path


def save(path, config, spec=SPEC):
  """Writes a whole checkpoint of untrained parameters; returns its state."""
  state = learner.init_state(config, spec)
  with checkpoint.Checkpoint(path, verbose=False) as saved:
    saved.register("agent", state)
    saved.attach("config.json", config_lib.to_json(config))
    saved.attach("features.json", features.to_json(spec))
    saved.attach("stats.json", STATISTICS)
    saved.attach("dataset.json", {"control_hz": 50.0})
    saved.save(1)
  return state


def observations(count=3, seed=0):
  rng = np.random.default_rng(seed)
  seen = {
    f"images/{name}": rng.integers(0, 256, (count, *shape), np.uint8)
    for name, shape in SPEC.images
  }
  seen["qpos"] = rng.normal(size=(count, 2)).astype(np.float32)
  return seen | {"qvel": np.ones((count, 2), np.float32)}


def test_the_contract_of_a_checkpoint(tmp_path):
  path = write(tmp_path / "step", make_config())
  found = contract.describe(path)
  fed = found.input_contract
  assert found.name == "act"
  assert [(x.key, x.short_key, x.shape) for x in fed.images] == [
    ("images/top", "top", (32, 32, 3)),
    ("images/wrist", "wrist", (16, 24, 3)),
  ]
  top = fed.images[0]
  assert (top.color, top.layout, top.dtype) == ("RGB", "HWC", "uint8")
  assert top.value_range == (0.0, 255.0)
  assert (top.normalization.mode, top.normalization.std_floor) == (
    "imagenet",
    0.0,
  )
  assert [(x.name, x.start, x.stop) for x in fed.state.sub_keys] == [
    ("qpos", 0, 2)
  ]
  norm = fed.state.normalization
  assert (norm.mode, norm.epsilon, norm.std_floor) == ("mean_std", 1e-8, 0.01)
  pin = norm.stats_fingerprint
  assert (pin.file, pin.key) == ("stats.json", "state")
  assert pin.file_sha256 == digest.file(path / "stats.json")
  assert (fed.actions.dim, fed.actions.horizon) == (3, 6)
  assert (fed.actions.n_action_steps, fed.actions.kind) == (3, "continuous")
  assert fed.actions.norm_mask == (True,) * 3
  assert fed.actions.delta_dims.delta_mask == (False,) * 3
  assert "joint targets" in fed.actions.delta_dims.absolute_dims_reason
  assert (fed.temporal.control_hz, fed.temporal.action_repeat) == (50.0, 1)
  assert fed.recurrent is None
  assert found.inference_parameters["n_action_steps"] == 3
  assert found.forward_graph.inputs["state"].shape == (2,)
  assert found.forward_graph.outputs["actions"].shape == (6, 3)
  assert found.roles["stats.json"] == "norm_stats"


def test_what_the_pipeline_gives_is_what_the_network_takes(tmp_path):
  path = write(tmp_path / "step", make_config())
  found = contract.describe(path)
  steps = found.transform_pipeline
  fed = pipeline.prepare(path, steps, observations())
  graph = found.forward_graph
  assert {k: x.shape[1:] for k, x in fed.items()} == {
    k: x.shape for k, x in graph.inputs.items()
  }
  assert {str(x.dtype) for x in fed.values()} == {"float32"}
  assert set(pipeline.inputs(steps, "post")) == set(graph.outputs)


@pytest.mark.parametrize("mode", [*MODES, "imagenet"])
def test_the_pipeline_is_the_trained_code(tmp_path, mode):
  vectors = "mean_std" if mode == "imagenet" else mode
  config = make_config(images=mode, state=vectors, action=vectors)
  path = write(tmp_path / "step", config)
  with checkpoint.Checkpoint(tmp_path / "saved", verbose=False) as saved:
    saved.register("agent", {"x": np.zeros(1)})
    for file in path.iterdir():
      saved.attach(file.name, json.loads(file.read_text()))
    saved.save(1)
  step = tmp_path / "saved/000000001"
  steps = contract.describe(step).transform_pipeline
  seen = observations(8)
  expected = subject.prepared_by_code(step, seen)
  found = pipeline.prepare(step, steps, seen)
  assert found.keys() == expected.keys()
  for key, array in expected.items():
    # the last bit of a picture in 0..1, divided by the smallest deviation
    np.testing.assert_allclose(
      found[key], array, rtol=3e-7, atol=6e-8 / 0.01, err_msg=key
    )
  actions = np.random.default_rng(1).normal(size=(4, 6, 3)).astype(np.float32)
  given = subject.finished_by_pipeline(step, steps, actions)
  own = subject.finished_by_code(step, actions)
  np.testing.assert_allclose(given, own[:, :3], rtol=3e-7, atol=3e-7)


@pytest.mark.parametrize("mode", [*MODES, "imagenet"])
def test_within_a_compiled_function_the_pipeline_is_the_code_bit_by_bit(
  tmp_path, mode
):
  vectors = "mean_std" if mode == "imagenet" else mode
  config = make_config(images=mode, state=vectors, action=vectors)
  path = write(tmp_path / "step", config)
  steps = contract.describe(path).transform_pipeline
  statistics = pipeline.statistics_in(path)
  seen = observations(8)
  keys = pipeline.inputs(steps, "pre")
  raw = {key: seen[key] for key in keys}
  found = jax.jit(lambda x: pipeline.run(steps, "pre", x, statistics, jnp))(raw)
  batch = {
    "images": {c: seen[f"images/{c}"] for c in SPEC.cameras},
    "state": seen["qpos"],
  }
  expected = jax.jit(
    lambda x: normalize.batch(x, STATISTICS, config.normalization)
  )(batch)
  np.testing.assert_array_equal(found["state"], expected["state"])
  for camera, image in expected["images"].items():
    np.testing.assert_array_equal(found[f"images/{camera}"], image)


@pytest.mark.parametrize("mode", [*MODES, "imagenet"])
def test_the_steps_name_the_statistics_of_their_mode(tmp_path, mode):
  config = make_config(images=mode)
  path = write(tmp_path / "step", config)
  first, second, *_ = contract.describe(path).transform_pipeline
  assert (first.op, first.params.divisor) == ("scale", 255.0)
  if mode == "identity":
    assert second.input_key == "images/wrist"
  elif mode == "imagenet":
    assert second.params.constants.mean == (0.485, 0.456, 0.406)
  elif mode == "mean_std":
    assert second.params.statistics.key == "images/top"
  else:
    assert (second.params.low, second.params.high) == RANGED[mode]


def test_ensembling_and_pretrained_parts(tmp_path):
  config = make_config(
    {
      "temporal_ensemble": True,
      "temporal_ensemble_coefficient": 0.05,
      "backbone_weights": "/data/of/me/resnet18-f37072fd.pth",
    }
  )
  config.optimizer.backbone_learning_rate = 0.0
  found = contract.describe(write(tmp_path / "step", config))
  execute = found.transform_pipeline[-1]
  assert execute.op == "execute_chunk"
  assert execute.params.temporal_ensemble_coefficient == 0.05
  assert found.input_contract.actions.n_action_steps == 1
  (pretrained,) = found.pretrained
  assert pretrained.source_identifier == "resnet18-f37072fd.pth"
  assert pretrained.source_revision == "f37072fd"
  leaves = ["agent/params/backbone/conv1/kernel", "agent/params/head/bias"]

  trained = [bool(re.fullmatch(found.trainable, x)) for x in leaves]
  assert trained == [False, True]
  assert all(re.fullmatch(found.needed, x) for x in leaves)


def _broken(files, name, key, value):
  files[name] = json.loads(json.dumps(files[name]))
  place = files[name]
  *path, last = key.split("/")
  for part in path:
    place = place[part]
  if value is None:
    del place[last]
  else:
    place[last] = value


@pytest.mark.parametrize(
  ("name", "key", "value", "message"),
  [
    ("config.json", "model", None, "config.json: /model: Field required"),
    ("config.json", "model/chunk_size", "9", "valid integer"),
    ("config.json", "model/chunk_size", 1 << 40, "less than or equal"),
    ("config.json", "model/n_action_steps", 7, "7 actions of a chunk of 6"),
    ("config.json", "normalization/state", "mean_sd", "mean 'mean_std'"),
    ("config.json", "normalization/state", "imagenet", "'imagenet'"),
    ("config.json", "normalization/epsilon", -1.0, "greater than or equal"),
    ("config.json", "dataset/state", "", "names the state ''"),
    ("features.json", "action_size", 1 << 50, "less than or equal"),
    ("features.json", "action_size", 0, "greater than or equal"),
    ("features.json", "images", [["a", [0, 1, 3]]], "greater than or equal"),
    ("features.json", "images", [["a", [1, 1, 3]]] * 2, "same key"),
    ("features.json", "images", [["a", [1, 1, 3]]] * 65, "at most 64"),
    ("dataset.json", "control_hz", -1, "greater than 0"),
  ],
)
def test_files_of_strangers_are_refused_in_one_line(
  tmp_path, name, key, value, message
):
  files = {
    "config.json": config_lib.to_json(make_config()),
    "features.json": features.to_json(SPEC),
    "stats.json": STATISTICS,
    "dataset.json": {"control_hz": 50.0},
  }
  _broken(files, name, key, value)
  path = tmp_path / "step"
  path.mkdir()
  for file, content in files.items():
    (path / file).write_text(json.dumps(content))
  with pytest.raises(errors.UserError, match=message) as caught:
    contract.describe(path)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "features.json", "stats.json"])
def test_a_file_that_is_absent_or_a_link_is_refused(tmp_path, name):
  path = write(tmp_path / "step", make_config())
  (path / name).rename(tmp_path / name)
  with pytest.raises(errors.UserError, match=name):
    contract.describe(path)
  (path / name).symlink_to(tmp_path / name)
  with pytest.raises(errors.UserError, match="behind a link"):
    contract.describe(path)


def test_a_feature_without_statistics_is_an_error(tmp_path):
  lacking = {k: v for k, v in STATISTICS.items() if k != "state"}
  path = write(tmp_path / "step", make_config(), statistics=lacking)
  steps = contract.describe(path).transform_pipeline
  with pytest.raises(errors.UserError, match="no statistics of 'state'"):
    pipeline.prepare(path, steps, observations())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Returns a whole checkpoint with its configuration and state."""
  root = tmp_path_factory.mktemp("saved")
  config = make_config(images="mean_std", action="min_max")
  return root / "000000001", config, save(root, config)


def _actions(acting, count=4):
  carry, found = acting.init(3), []
  for step in range(count):
    carry, action = acting.act(
      carry, observations(seed=step), jax.random.key(0)
    )
    found.append(action)
  return np.stack(found)


def test_a_loaded_policy_acts_as_the_one_that_was_trained(saved):
  path, config, state = saved
  own = policy.Policy(config, SPEC, STATISTICS, state.params, state.buffers)
  loaded = evaluation.load(path)
  np.testing.assert_allclose(
    _actions(loaded.policy), _actions(own), rtol=1e-5, atol=1e-6
  )
  assert loaded.facts["execution"] == {"n_action_steps": 3}


def test_a_loaded_policy_obeys_the_pipeline_that_it_is_given(saved):
  path, _, _ = saved
  steps = list(contract.describe(path).transform_pipeline)
  whole = _actions(evaluation.load(path, pipeline=tuple(steps)).policy)
  index, last = next(
    (i, s) for i, s in enumerate(steps) if s.op == "from_unit_range"
  )
  params = last.params.model_copy(update={"low": "q01"})
  steps[index] = last.model_copy(update={"params": params})
  other = _actions(evaluation.load(path, pipeline=tuple(steps)).policy)
  assert np.abs(whole - other).max() > 1e-2
  steps[-1] = steps_lib.Execute(
    **{
      **dict(steps[-1]),
      "params": steps[-1].params.model_copy(update={"n_action_steps": 1}),
    }
  )
  loaded = evaluation.load(path, pipeline=tuple(steps))
  assert loaded.facts["execution"] == {"n_action_steps": 1}
  carry, _ = loaded.policy.act(
    loaded.policy.init(3), observations(), jax.random.key(0)
  )
  assert loaded.policy.needs_observation(carry)


def test_options_of_an_evaluation_replace_the_execution(saved):
  path, _, _ = saved
  loaded = evaluation.load(path, {"n_action_steps": 2})
  assert loaded.policy.execution == policy.Execution(2)
  averaged = evaluation.load(path, {"temporal_ensemble_coefficient": 0.1})
  assert averaged.policy.execution == policy.Execution(1, 0.1)
  assert averaged.facts["execution"] == {"temporal_ensemble_coefficient": 0.1}


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"n_action_step": 1}, "did you mean 'n_action_steps'"),
    ({"n_action_step": None}, "did you mean 'n_action_steps'"),
    ({"chunk_size": 3}, "unknown option of execution 'chunk_size'"),
    ({"backbone": "resnet18"}, "unknown option of execution 'backbone'"),
    ({"n_action_steps": 0}, "n_action_steps 0: give an integer from 1"),
    ({"n_action_steps": "x"}, "n_action_steps 'x': give an integer"),
    ({"n_action_steps": [1]}, r"n_action_steps \[1\]: give an integer"),
    ({"n_action_steps": 2.0}, "n_action_steps 2.0: give an integer"),
    ({"n_action_steps": True}, "n_action_steps True: give an integer"),
    ({"n_action_steps": 7}, "n_action_steps 7 is more than the 6 actions"),
    (
      {"n_action_steps": np.zeros((2, 2))},
      r"n_action_steps array\(.*: give an",
    ),
    ({"temporal_ensemble": 1}, "temporal_ensemble 1: give True or False"),
    ({"temporal_ensemble_coefficient": "0.1"}, "'0.1': give a number from"),
    ({"temporal_ensemble_coefficient": float("nan")}, "nan: give a number"),
    ({"temporal_ensemble_coefficient": 11}, "11: give a number from -10"),
    (
      {"temporal_ensemble": False, "temporal_ensemble_coefficient": 0.1},
      "which temporal_ensemble turns off",
    ),
    ({"n_action_steps": 2, "temporal_ensemble": True}, "exclude each other"),
  ],
)
def test_other_options_and_values_are_one_line(saved, overrides, message):
  path, _, _ = saved
  with pytest.raises(errors.UserError, match=message) as found:
    loading.without_passport(path, overrides)
  assert "\n" not in str(found.value)


def test_options_that_were_not_given_change_nothing(saved):
  path, _, _ = saved
  unset = {"n_action_steps": None, "temporal_ensemble": None}
  for overrides in ({}, None, unset, {"temporal_ensemble": False}):
    loaded = loading.without_passport(path, overrides)
    assert loaded.policy.execution == policy.Execution(3)
  loaded = loading.without_passport(path, {"temporal_ensemble": True})
  assert loaded.policy.execution == policy.Execution(1, 0.01)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda s: s[:-1], "gives as the command actions instead of action"),
    (lambda s: s[4:], "has index 4 in place 0"),
    (
      lambda s: tuple(
        x.model_copy(update={"index": i}) for i, x in enumerate(s[2:])
      ),
      "gives the network images/wrist, state instead of images/top",
    ),
  ],
)
def test_a_pipeline_that_does_not_lead_to_the_network(saved, change, message):
  path, config, state = saved
  steps = change(contract.describe(path).transform_pipeline)
  with pytest.raises(errors.UserError, match=message):
    policy.Policy(config, SPEC, STATISTICS, state.params, state.buffers, steps)


def test_a_camera_of_another_dtype_is_refused(saved):
  path, _, _ = saved
  acting = evaluation.load(path).policy
  seen = observations()
  seen["images/top"] = (seen["images/top"] / 255).astype(np.float32)
  with pytest.raises(errors.UserError, match="takes uint8, not float32"):
    acting.act(acting.init(3), seen, jax.random.key(0))


def test_describing_loads_no_jax(tmp_path):
  path = write(tmp_path / "step", make_config())
  code = (
    "import pathlib, sys\n"
    "from act import contract\n"
    f"contract.describe(pathlib.Path({str(path)!r}))\n"
    "found = {'jax', 'flax', 'orbax', 'tensorstore'} & set(sys.modules)\n"
    "sys.exit(str(found) if found else 0)"
  )
  subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_training_writes_what_is_described(tiny_dataset, tmp_path):
  config = tiny_config.get_config()
  config.dataset.path = str(tiny_dataset)
  config.update(total_steps=1)
  config.evaluation.validation_every_steps = 0
  act_train.train(config, tmp_path / "run")
  (step,) = sorted((tmp_path / "run/checkpoints").glob("*1"))
  found = contract.describe(pathlib.Path(step))
  assert dataclasses.is_dataclass(found)
  manifest = checkpoint.read_manifest(step)

  needed = [
    x.path for x in manifest.leaves if re.fullmatch(found.needed, x.path)
  ]
  assert needed
  assert all(re.fullmatch(found.trainable, x) for x in needed)
