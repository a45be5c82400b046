"""Gymnasium's environments behind our protocol, against Gymnasium itself."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from carnet import envs, errors
from carnet.envs import base, contract


class Anything(gymnasium.Env):
  """Observes and takes what it is told; remembers the last action."""

  metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012

  def __init__(self, observation, action, terminates=False, render_mode=None):
    self.observation_space, self.action_space = observation, action
    self.terminates, self.render_mode = terminates, render_mode

  def reset(self, seed=None, options=None):
    self.observation_space.seed(seed)
    return self.observation_space.sample(), {}

  def step(self, action):
    assert self.action_space.contains(action), action
    self.action = action
    return self.observation_space.sample(), 1.5, self.terminates, False, {}

  def render(self):
    return np.full((4, 6, 3), 9, np.uint8)


BOX = spaces.Box(-1, 1, (2,), np.float32)


@pytest.fixture
def register(monkeypatch):
  """Registers Anything with these spaces; returns its name for `envs.make`."""
  monkeypatch.setattr(
    gymnasium.envs.registration, "registry", dict(gymnasium.registry)
  )
  monkeypatch.setattr(
    gymnasium, "registry", gymnasium.envs.registration.registry
  )

  def add(observation=BOX, action=BOX, **options):
    kwargs = {"observation": observation, "action": action, **options}
    gymnasium.register(
      "test/Any-v0", Anything, kwargs=kwargs, max_episode_steps=4
    )
    return "gym:test/Any-v0"

  return add


@pytest.mark.parametrize(
  "name", ["CartPole-v1", "HalfCheetah-v5", "FrozenLake-v1"]
)
def test_same_observations_and_rewards_as_gymnasium(name):
  env, theirs = envs.make(f"gym:{name}"), gymnasium.make(name)
  step = env.reset(4)
  expected, _ = theirs.reset(seed=4)
  for action in contract.random_actions(env, 60):
    np.testing.assert_array_equal(
      step.observation["observation"],
      np.asarray(expected, step.observation["observation"].dtype),
    )
    if step.is_last:
      break
    step = env.step(action)
    expected, reward, terminated, truncated, _ = theirs.step(
      action if action.ndim else int(action)
    )
    assert (step.reward, step.is_terminal) == (reward, terminated)
    assert step.is_last == (terminated or truncated)


@pytest.mark.parametrize(
  "name",
  ["CartPole-v1", "Blackjack-v1", "Pendulum-v1", "carnet/AlohaInsertion-v0"],
)
def test_obeys_the_protocol(name):
  options = {"renderer": "raycast", "height": 16, "width": 16}
  options = options if "Aloha" in name else {}
  env = envs.make(f"gym:{name}", **options)
  actions = contract.random_actions(env, 15)
  contract.check(lambda: envs.make(f"gym:{name}", **options), actions)


def test_spaces_are_flattened_and_named(register):
  observation = spaces.Dict(
    {
      "arm": spaces.Dict(
        {"angle": spaces.Box(-2, np.array([1.0, 2]), (2,), np.float64)}
      ),
      "camera": spaces.Box(0, 255, (8, 8, 3), np.uint8),
      "grid": spaces.Box(0, 9, (2, 3), np.int64),
      "pair": spaces.Tuple([spaces.Discrete(3, start=5), BOX]),
      "switches": spaces.MultiBinary(4),
      "dice": spaces.MultiDiscrete([6, 6]),
      "mixed": spaces.MultiDiscrete([2, 7]),
    }
  )
  name = register(observation)
  env = envs.make(name)
  assert env.observation_space == {
    "arm/angle": base.Space((2,), "float32", -2.0, (1.0, 2.0)),
    "camera": base.Space((8, 8, 3), "uint8", 0.0, 255.0),
    "grid": base.Space((2, 3), "float32", 0.0, 9.0),
    "pair/0": base.Space((), "int32", 0.0, 2.0, 3),
    "pair/1": base.Space((2,), "float32", -1.0, 1.0),
    "switches": base.Space((4,), "int32", 0.0, 1.0, 2),
    "dice": base.Space((2,), "int32", 0.0, 5.0, 6),
    "mixed/0": base.Space((), "int32", 0.0, 1.0, 2),
    "mixed/1": base.Space((), "int32", 0.0, 6.0, 7),
  }
  contract.check(lambda: envs.make(name), np.zeros((9, 2), np.float32))
  seen = env.reset(3).observation
  observation.seed(3)
  theirs = observation.sample()
  np.testing.assert_array_equal(seen["camera"], theirs["camera"])
  assert seen["pair/0"] == theirs["pair"][0] - 5
  assert [seen["mixed/0"], seen["mixed/1"]] == theirs["mixed"].tolist()


def test_dictionaries_of_actions_arrive_as_the_environment_wants_them(register):
  action = spaces.Dict(
    {
      "arm": spaces.Tuple([BOX, spaces.Discrete(2, start=3)]),
      "mixed": spaces.MultiDiscrete([2, 7]),
      "switches": spaces.MultiBinary(2),
    }
  )
  name = register(action=action)
  env = envs.make(name)
  assert set(env.action_space) == {
    *("arm/0", "arm/1", "mixed/0", "mixed/1", "switches")
  }
  contract.check(lambda: envs.make(name), contract.random_actions(env, 9))
  env.reset(0)
  env.step(
    {
      "arm/0": np.array([0.5, -1], np.float32),
      "arm/1": np.int32(1),
      "mixed/0": np.int32(1),
      "mixed/1": np.int32(6),
      "switches": np.array([0, 1], np.int32),
    }
  )
  taken = env._env.unwrapped.action
  np.testing.assert_array_equal(taken["arm"][0], [0.5, -1])
  assert taken["arm"][1] == 4
  assert taken["mixed"].tolist() == [1, 6]
  assert taken["switches"].tolist() == [0, 1]


@pytest.mark.parametrize(
  "action",
  [
    *(spaces.Discrete(3, start=-1), spaces.MultiDiscrete([3, 3])),
    *(spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2, 2), np.float64)),
  ],
)
def test_every_kind_of_action(register, action):
  name = register(action=action)
  env = envs.make(name)
  contract.check(lambda: envs.make(name), contract.random_actions(env, 5))


def test_a_picture_is_called_image_and_resized(register):
  name = register(spaces.Box(0, 255, (40, 20, 3), np.uint8))
  assert envs.make(name).reset(0).observation["image"].shape == (40, 20, 3)
  env = envs.make(name, image_size=10)
  seen = env.reset(0).observation["image"]
  assert env.observation_space["image"].shape == seen.shape == (10, 10, 3)
  flat = np.broadcast_to(np.uint8([3, 90, 200]), (40, 20, 3))
  env._seen = flat
  assert np.all(env.observe()["image"] == [3, 90, 200])
  contract.check(
    lambda: envs.make(name, image_size=10), np.zeros((3, 2), np.float32)
  )


def test_truncation_is_last_and_termination_is_terminal(register):
  for terminates, flags in ((False, (4, False)), (True, (1, True))):
    env = envs.make(register(terminates=terminates))
    env.reset(0)
    count, step = 0, None
    while step is None or not step.is_last:
      step, count = env.step(np.zeros(2, np.float32)), count + 1
    assert (count, step.is_terminal, step.reward) == (*flags, 1.5)
    gymnasium.registry.pop("test/Any-v0")


def test_the_limit_films_and_options_are_passed_on(register):
  env = envs.make(register(), max_steps=2)
  assert env.control_hz == 7
  env.reset(0)
  assert env.render("any").shape == (4, 6, 3)
  assert not env.step(np.zeros(2, np.float32)).is_last
  assert env.step(np.zeros(2, np.float32)).is_last
  lake = envs.make("gym:FrozenLake-v1", map_name="8x8")
  assert lake.observation_space["observation"].classes == 64


def test_actions_that_cannot_be_are_named(register):
  env, pole = envs.make(register()), envs.make("gym:CartPole-v1")
  env.reset(0)
  with pytest.raises(errors.UserError, match="NaN"):
    env.step(np.array([0, np.nan], np.float32))
  pole.reset(0)
  with pytest.raises(errors.UserError, match="0 to 1"):
    pole.step(2)


def test_observations_are_copies(register):
  env = envs.make(register())
  before = env.reset(0).observation["observation"]
  env._seen[:] = 7
  assert not np.any(before == 7)


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A module on the path that registers an environment when imported."""
  (tmp_path / "their_robots.py").write_text(
    "import gymnasium\n"
    "gymnasium.register('their/Pole-v0', 'gymnasium.envs.classic_control:"
    "CartPoleEnv')\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  yield "their_robots"
  sys.modules.pop("their_robots", None)
  gymnasium.registry.pop("their/Pole-v0", None)


def test_naming_a_module_never_imports_it(package):
  """A name may come out of a checkpoint."""
  name = "gym:their_robots:their/Pole-v0"
  for asked in (envs.make, envs.modules):
    with pytest.raises(errors.UserError, match="write `import their_robots`"):
      asked(name)
  assert package not in sys.modules
  assert "their/Pole-v0" not in gymnasium.registry
  __import__(package)
  assert envs.modules(name) == ("their_robots",)
  assert (
    envs.modules("gym:CartPole-v1") == envs.modules("dmc/walker_walk") == ()
  )
  step = envs.make(name).reset(0)
  assert step.observation["observation"].shape == (4,)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("gym:Cartpole-v1", {}, "did you mean gym:CartPole-v1"),
    ("CartPole-v1", {}, "did you mean 'gym:CartPole-v1'"),
    ("gym:", {}, "unknown task"),
    (
      "gym:CartPole-v1",
      {"sutton": True},
      "unexpected keyword argument 'sutton'",
    ),
    ("gym:CartPole-v1", {"image_size": 0}, "image_size=0"),
    ("gym:GymV26Environment-v0", {"env_id": "os:X-v0"}, "in your program"),
  ],
)
def test_mistakes_are_one_line(name, options, message):
  with pytest.raises(errors.UserError, match=message) as caught:
    envs.make(name, **options)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("spaces_of", "message"),
  [
    ({"observation": spaces.Text(3)}, "observation space .* holds a Text"),
    ({"action": spaces.Box(0, 9, (2,), np.int64)}, "Box of int64"),
    ({"action": spaces.Graph(BOX, None)}, "action space .* holds a Graph"),
  ],
)
def test_spaces_that_are_not_numbers_are_named(register, spaces_of, message):
  with pytest.raises(errors.UserError, match=message):
    envs.make(register(**spaces_of))


def test_a_missing_dependency_is_named(register):
  register()
  gymnasium.register("test/Lacks-v0", "no_such_simulator:Env")
  with pytest.raises(errors.UserError, match="no_such_simulator") as caught:
    envs.make("gym:test/Lacks-v0")
  assert "\n" not in str(caught.value)
