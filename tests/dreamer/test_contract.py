"""What files tell of a DreamerV3 checkpoint; its pipeline is the code."""

import json
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_loop
from PIL import Image

from carnet import checkpoint, errors
from carnet import config as config_lib
from carnet.envs import base, wrappers
from carnet.passport import pipeline
from dreamer import (
  codec,
  contract,
  environment,
  evaluation,
  learner,
  policy,
  spaces,
  subject,
)

MIXED = learner.Spec(
  {
    "wrist": spaces.Space((16, 16, 1), is_image=True),
    "image": spaces.Space((16, 16, 3), is_image=True),
    "place/hand": spaces.Space((2, 2)),
    "gear": spaces.Space((), 4),
    "age": spaces.Space(),
    "buttons": spaces.Space((3,), 2),
  },
  {
    "push": spaces.Space((2,), bounds=((-2.0, 2.0), (0.0, 8.0))),
    "turn": spaces.Space((), 3),
  },
  20.0,
)
VECTORS = learner.Spec(
  {"place": spaces.Space((3,)), "speed": spaces.Space()},
  {"action": spaces.Space((1,), bounds=((None, None),))},
)
IMAGE = learner.Spec(
  {"image": spaces.Space((16, 16, 3), is_image=True)},
  {"action": spaces.Space((), 5)},
)
DISCRETE = learner.Spec(
  {"gear": spaces.Space((), 4)}, {"action": spaces.Space((2,))}
)
SPECS = {
  "mixed": MIXED,
  "vectors": VECTORS,
  "image": IMAGE,
  "discrete": DISCRETE,
}


def save(root, spec, task="gym:CartPole-v1", **changes):
  """Writes a step with the small files alone; returns its directory."""
  config = tiny_loop.cartpole()
  config.environment.name = task
  config.environment.update(changes)
  with checkpoint.Checkpoint(root, verbose=False) as saved:
    saved.register("agent", {"params": np.zeros(1)})
    saved.attach("config.json", config_lib.to_json(config))
    saved.attach("spaces.json", environment.to_json(spec))
    saved.save(1)
  return root / "000000001"


def observations(spec, count=5, seed=0):
  rng = np.random.default_rng(seed)
  seen = {}
  for name, space in spec.observations.items():
    shape = (count, *space.shape)
    if space.is_image:
      seen[name] = rng.integers(0, 256, shape, np.uint8)
    elif space.classes:
      # -1 is missing
      seen[name] = rng.integers(-1, space.classes, shape, np.int32)
    else:
      wide = rng.normal(size=shape) * 10 ** rng.uniform(-3, 5, shape)
      seen[name] = wide.astype(np.float32)
      seen[name][0] = -np.inf
  return seen


@pytest.mark.parametrize("name", SPECS)
def test_the_pipeline_is_the_trained_code(tmp_path, name):
  spec = SPECS[name]
  step = save(tmp_path, spec)
  found = contract.describe(step)
  steps, seen = found.transform_pipeline, observations(spec, 32)
  expected = subject.prepared_by_code(step, seen)
  given = pipeline.prepare(step, steps, seen)
  assert given.keys() == expected.keys() == found.forward_graph.inputs.keys()
  for key, array in expected.items():
    assert array.shape[1:] == found.forward_graph.inputs[key].shape
    assert given[key].dtype == np.float32
    np.testing.assert_allclose(given[key], array, rtol=3e-7, atol=6e-8)


@pytest.mark.parametrize("name", SPECS)
def test_within_a_compiled_function_it_is_the_code_bit_by_bit(tmp_path, name):
  spec = SPECS[name]
  steps = contract.describe(save(tmp_path, spec)).transform_pipeline
  seen = observations(spec, 32)
  none = pipeline.statistics_from(lambda file: None)
  found = jax.jit(lambda x: pipeline.run(steps, "pre", x, none, jnp))(seen)
  expected = jax.jit(lambda x: codec.prepare(x, spec.observations))(seen)
  for key, array in (
    (contract.VECTOR, expected.vector),
    (contract.IMAGES, expected.images),
  ):
    if array is None:
      assert key not in found
    else:
      np.testing.assert_array_equal(found[key], array)


def test_the_contract_of_mixed_spaces(tmp_path):
  found = contract.describe(save(tmp_path, MIXED))
  fed = found.input_contract
  assert found.name == "dreamerv3"
  assert [(x.key, x.shape, x.color) for x in fed.images] == [
    ("image", (16, 16, 3), "RGB"),
    ("wrist", (16, 16, 1), "GRAY"),
  ]
  norm = fed.images[0].normalization
  assert (norm.mode, norm.factor, norm.offset) == ("scale", 1 / 255, -0.5)
  # keys sorted, discrete ones as wide as their classes
  assert [(x.name, x.start, x.stop) for x in fed.state.sub_keys] == [
    ("age", 0, 1),
    ("buttons", 1, 7),
    ("gear", 7, 11),
    ("place/hand", 11, 15),
  ]
  raw = [(x.name, x.start, x.stop) for x in fed.state.dataset_sub_keys]
  assert raw[1:3] == [("buttons", 1, 4), ("gear", 4, 5)]
  assert fed.state.normalization.mode == "symlog"
  actions = fed.actions
  assert (actions.dim, actions.kind, actions.classes) == (3, "mixed", 3)
  assert (actions.low, actions.high) == ((-2.0, 0.0, 0.0), (2.0, 8.0, 2.0))
  assert actions.norm_mask == (True, True, False)
  assert actions.delta_dims.delta_mask == (False,) * 3
  assert fed.temporal.control_hz == 20.0
  carry = fed.recurrent.carry_spec
  assert fed.recurrent.reset_flag_key == "is_first"
  config = tiny_loop.cartpole()
  initial = policy.initial(config, MIXED, 1)
  arrays = {"deter": initial.latent.deter, "stoch": initial.latent.stoch}
  arrays |= {f"action/{k}": x for k, x in initial.action.items()}
  assert {k: (x.shape, x.dtype) for k, x in carry.items()} == {
    k: (x.shape[1:], str(x.dtype)) for k, x in arrays.items()
  }


def test_kinds_of_actions_and_states(tmp_path):
  found = {
    name: contract.describe(save(tmp_path / name, spec)).input_contract
    for name, spec in SPECS.items()
  }
  kinds = {name: x.actions.kind for name, x in found.items()}
  assert kinds == {
    "mixed": "mixed",
    "vectors": "continuous",
    "image": "discrete_index",
    "discrete": "continuous",
  }
  assert found["image"].state.dim == 0
  assert found["image"].state.normalization is None
  assert found["image"].actions.high == (4.0,)
  assert found["image"].actions.normalization is None
  assert found["discrete"].state.normalization.mode == "one_hot"
  # without bounds nothing is scaled; unknown ones may be
  assert found["vectors"].actions.norm_mask == (False,)
  assert found["discrete"].actions.norm_mask == (True, True)
  assert found["discrete"].actions.low is None


class Taken:
  """Keeps the action that it is given."""

  def __init__(self):
    self.observation_space = {"place": base.Space((3,), "float32")}
    self.action_space = base.Space(
      (3,), "float32", (-2.0, -np.inf, 0.1), (1.0, np.inf, 0.7)
    )
    self.control_hz, self.success_reward = 12.5, None

  def step(self, action, observe=True):
    self.taken = action
    return base.Step(None, 0.0, False, False, False)

  def reset(self, seed, observe=True): ...

  def observe(self): ...

  def render(self, camera): ...

  def close(self): ...


def test_bounds_are_those_that_the_wrapper_scales_to(tmp_path):
  inner = Taken()
  env = wrappers.NormalizedActions(inner)
  spec = environment.spec_of(env)
  assert spec.actions["action"].bounds == (
    (-2.0, 1.0),
    (None, None),
    (0.1, 0.7),
  )
  step = save(tmp_path, spec)
  found = contract.describe(step)
  assert found.input_contract.temporal.control_hz == 12.5
  assert found.input_contract.actions.norm_mask == (True, False, True)
  none = pipeline.statistics_from(lambda file: None)
  rng = np.random.default_rng(0)
  for _ in range(50):
    action = rng.normal(size=3).astype(np.float32)
    env.step(action)
    executed = pipeline.run(
      found.transform_pipeline,
      "post",
      {"action": action[None]},
      none,
      np,
      executed_by="environment",
    )
    np.testing.assert_array_equal(executed["action"][0], inner.taken)


def test_what_an_atari_does_to_its_pictures(tmp_path):
  options = {
    "atari": {
      **config_lib.to_json(tiny_loop.cartpole())["environment"]["atari"]
    }
  }
  options["atari"]["image_size"] = 16
  spec = learner.Spec(
    {"image": spaces.Space((16, 16, 1), is_image=True)},
    {"action": spaces.Space((), 18)},
  )
  found = contract.describe(
    save(tmp_path, spec, "atari/pong", **options, repeat=1)
  )
  rows = [(x.op, x.executed_by) for x in found.transform_pipeline]
  assert rows == [
    ("aggregate_frames", "environment"),
    ("resize", "environment"),
    ("gray", "environment"),
    ("scale", "policy"),
    ("concatenate", "policy"),
    ("repeat_action", "environment"),
  ]
  assert found.transform_pipeline[-1].params.times == 4
  assert found.input_contract.temporal.action_repeat == 4
  assert found.input_contract.images[0].resize.height == 16
  # as `AtariEnv.observe`
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (2, 210, 160, 3), np.uint8)
  picture = Image.fromarray(frames.max(0)).resize(
    (16, 16), Image.Resampling.BILINEAR
  )
  weights = np.array([0.299, 0.587, 1 - (0.299 + 0.587)])
  expected = (np.array(picture) * weights).sum(-1).astype(np.uint8)
  given = pipeline.run(
    found.transform_pipeline,
    "pre",
    {"image": frames[None]},
    pipeline.statistics_from(lambda file: None),
    np,
    executed_by="environment",
  )
  np.testing.assert_array_equal(given["image"][0, ..., 0], expected)


def test_files_written_before_bounds_were_kept(tmp_path):
  old = environment.to_json(DISCRETE)
  assert "low" not in old["actions"]["action"]
  assert "control_hz" not in old
  assert environment.from_json(old) == DISCRETE
  found = contract.describe(save(tmp_path, DISCRETE))
  scaled = found.transform_pipeline[-1]
  assert (scaled.op, scaled.params.low) == ("from_bounds", None)
  with pytest.raises(errors.UserError, match="do not tell the bounds"):
    pipeline.run(
      found.transform_pipeline,
      "post",
      {"action": np.zeros((1, 2))},
      pipeline.statistics_from(lambda file: None),
      np,
      executed_by="environment",
    )


def test_bounds_and_rate_survive_a_file_and_are_compared():
  written = json.loads(json.dumps(environment.to_json(MIXED)))
  again = environment.from_json(written)
  assert again == MIXED
  assert again.actions["push"].bounds == MIXED.actions["push"].bounds
  environment.check_same(MIXED, again, "here")
  unknown = environment.from_json(
    {k: v for k, v in written.items() if k != "control_hz"}
  )
  environment.check_same(unknown, MIXED, "here")
  with pytest.raises(errors.UserError, match=r"control_hz was 20.0 and is 10"):
    environment.check_same(MIXED, again._replace(control_hz=10.0), "here")
  written["actions"]["push"]["high"][0] = 3.0
  with pytest.raises(errors.UserError, match=r"'push' had the bounds \(\(-2"):
    environment.check_same(MIXED, environment.from_json(written), "here")


@pytest.mark.parametrize(
  ("name", "key", "value", "message"),
  [
    ("config.json", "rssm", None, "config.json: /rssm: Field required"),
    ("config.json", "rssm/deter", 1 << 40, "less than or equal"),
    ("config.json", "environment/name", 3, "valid string"),
    ("config.json", "environment/repeat", 0, "greater than or equal"),
    ("spaces.json", "actions", {}, "at least 1"),
    (
      "spaces.json",
      "actions/push/shape",
      [1 << 14, 1 << 14],
      "more than 65536",
    ),
    ("spaces.json", "actions/push/shape", [1] * 9, "at most 8"),
    ("spaces.json", "actions/push/low", [0.0], "1 bounds of 2 numbers"),
    ("spaces.json", "actions/push/low", [5.0, 0.0], "low bound is above"),
    ("spaces.json", "actions/push/low", None, "both low and high"),
    ("spaces.json", "actions/turn/is_image", True, "an image is"),
    ("spaces.json", "observations/gear/classes", -1, "greater than or equal"),
    ("spaces.json", "observations/wrist/shape", [8, 8, 1], "several sizes"),
    ("spaces.json", "observations", {}, "no observation"),
    ("spaces.json", "control_hz", 0, "greater than 0"),
  ],
)
def test_files_of_strangers_are_refused_in_one_line(
  tmp_path, name, key, value, message
):
  files = {
    "config.json": config_lib.to_json(tiny_loop.cartpole()),
    "spaces.json": environment.to_json(MIXED),
  }
  place = files[name]
  *parents, last = key.split("/")
  for part in parents:
    place = place[part]
  if value is None:
    del place[last]
  else:
    place[last] = value
  for file, content in files.items():
    (tmp_path / file).write_text(json.dumps(content))
  with pytest.raises(errors.UserError, match=message) as caught:
    contract.describe(tmp_path)
  assert "\n" not in str(caught.value)


def _agent(spec):
  config = tiny_loop.cartpole()
  return config, *learner.make_agent(config, spec)


def _act(acting, spec, count=3):
  carry, found = acting.init(5), []
  for step in range(count):
    seen = observations(spec, seed=step)
    carry, action = acting.act(carry, seen, jax.random.key(step))
    found.append(action)
  return found


def test_a_policy_through_the_pipeline_acts_as_the_one_that_was_trained(
  tmp_path,
):
  config, graph, params = _agent(MIXED)
  steps = contract.describe(save(tmp_path, MIXED)).transform_pipeline
  own = policy.Policy(config, MIXED, graph, params, "mode")
  through = policy.Policy(config, MIXED, graph, params, "mode", steps)
  for one, other in zip(_act(own, MIXED), _act(through, MIXED), strict=True):
    np.testing.assert_array_equal(one["turn"], other["turn"])
    np.testing.assert_allclose(one["push"], other["push"], atol=1e-6)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda s: s[:-2], "gives the encoder .* instead of encoder/images, enc"),
    (
      lambda s: (*s[:-1], s[-1].model_copy(update={"executed_by": "policy"})),
      r"\(from_bounds\) is a step of the policy after the actor",
    ),
    (lambda s: s[1:], "has index 1 in place 0"),
  ],
)
def test_a_pipeline_that_does_not_lead_to_the_encoder(
  tmp_path, change, message
):
  config, graph, params = _agent(MIXED)
  steps = contract.describe(save(tmp_path, MIXED)).transform_pipeline
  with pytest.raises(errors.UserError, match=message):
    policy.Policy(config, MIXED, graph, params, steps=change(steps))


def test_a_trained_run_is_described_and_acts_through_its_pipeline(walker_run):
  loaded = evaluation.load(walker_run, {"actions": "mode"})
  found = contract.describe(loaded.step_directory)
  fed = found.input_contract
  assert fed.temporal.action_repeat == 2
  assert fed.temporal.control_hz == 20.0  # 40, each action twice
  assert (fed.actions.low, fed.actions.high) == ((-1.0,) * 6, (1.0,) * 6)
  manifest = checkpoint.read_manifest(loaded.step_directory)
  needed = [x for x in manifest.leaves if re.fullmatch(found.needed, x.path)]
  assert {x.path.split("/")[1] for x in needed} == {"params"}
  first, *rest = found.transform_pipeline
  other = first.model_copy(
    update={"op": "scale", "params": None, "output_key": "elsewhere"}
  )
  with pytest.raises(errors.UserError):
    evaluation.load(walker_run, pipeline=(other, *rest))


def test_describing_loads_no_jax(tmp_path):
  step = save(tmp_path, MIXED)
  code = (
    "import pathlib, sys\n"
    "from dreamer import contract\n"
    f"contract.describe(pathlib.Path({str(pathlib.Path(step))!r}))\n"
    "found = {'jax', 'flax', 'orbax', 'tensorstore'} & set(sys.modules)\n"
    "sys.exit(str(found) if found else 0)"
  )
  subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
