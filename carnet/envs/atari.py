"""Atari games, preprocessed as by embodied/envs/atari.py of danijar/dreamerv3.

Defaults are the reference's `env.atari`. Departures, where it is at fault:
`is_terminal` is set by the end of a game and by lives, never by the step limit
(it sets it to `is_last`); `sticky` is set before the game is loaded, after
which ALE ignores it (so that the reference's `sticky=False` stays at 0.25); and
the first picture is of the first frame (it overwrites that with an older one).
"""

import collections
import threading
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from carnet import errors
from carnet.envs import base, extras, spaces

_LOCK = threading.Lock()  # as the reference: games load one at a time
_GRAY = np.array([0.299, 0.587, 1 - (0.299 + 0.587)])
_FRAMES_PER_SECOND = 60.0
_STICKY = 0.25
_ACTIONS = ("all", "needed")
_LIVES = ("unused", "discount", "reset")
_AGGREGATE = ("max", "mean")


class AtariEnv:
  """One game; an action is held for `repeat` frames."""

  success_reward: float | None = None

  def __init__(
    self,
    game: str,
    *,
    image_size: int,
    gray: bool,
    repeat: int,
    pooling: int,
    aggregate: str,
    sticky: bool,
    actions: str,
    lives: str,
    noops: int,
    autostart: bool,
    clip_reward: bool,
    length: int,
  ) -> None:
    ale = extras.load("ale_py", "atari")
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)  # greets otherwise
    self._ale = ale.ALEInterface()
    self._ale.setFloat("repeat_action_probability", _STICKY if sticky else 0.0)
    self._noop, self._fire, self._up = (
      *(ale.Action.NOOP, ale.Action.FIRE, ale.Action.UP),
    )
    self._rom = extras.load("ale_py.roms", "atari").get_rom_path(game)
    self._load(0)
    all_actions = actions == "all"
    self.actions = (
      self._ale.getLegalActionSet()
      if all_actions
      else self._ale.getMinimalActionSet()
    )
    self._size, self._gray, self._aggregate = image_size, gray, aggregate
    self._repeat, self._noops, self._length = repeat, noops, length
    self._lives, self._autostart, self._clip = lives, autostart, clip_reward
    shape = (*self._ale.getScreenDims(), 3)
    self._frames: collections.deque = collections.deque(
      [np.zeros(shape, np.uint8) for _ in range(pooling)], maxlen=pooling
    )
    self._lives_before, self._frame = 0, 0
    self._steppable = False
    self.control_hz = _FRAMES_PER_SECOND / repeat
    count = len(self.actions)
    self.action_space = base.Space((), "int32", 0.0, count - 1.0, count)
    shape = (image_size, image_size, 1 if gray else 3)
    self.observation_space = {"image": base.Space(shape, "uint8", 0.0, 255.0)}

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Loads the game anew (80 ms), as its random numbers start only so."""
    generator = np.random.default_rng(seed)
    self._load(int(generator.integers(2**31)))
    for _ in range(generator.integers(self._noops + 1)):
      self._act_unless_over(self._noop)
    if self._autostart and self._fire in self.actions:
      self._act_unless_over(self._fire)
      self._act_unless_over(self._up)
    for _ in range(len(self._frames)):
      self._grab()
    self._lives_before, self._frame = self._ale.lives(), 0
    self._steppable = True
    seen = self.observe() if observe else None
    return base.Step(seen, 0.0, True, False, False)

  def step(
    self, action: Int[np.ndarray, ""] | np.integer | int, observe: bool = True
  ) -> base.Step:
    """Holds one of `actions` for `repeat` frames, or until the end."""
    if not self._steppable:
      raise RuntimeError("the episode is over or has not begun: call reset()")
    chosen = self.actions[spaces.category(action, len(self.actions))]
    reward, is_last, is_terminal = 0.0, False, False
    for index in range(self._repeat):
      reward += self._act(chosen)
      if index >= self._repeat - len(self._frames):
        self._grab()
      is_last, is_terminal = self._after_frame()
      if is_last or is_terminal:
        break
    self._steppable = not is_last
    if self._clip:
      reward = float(np.sign(reward))
    seen = self.observe() if observe else None
    return base.Step(seen, reward, False, is_last, is_terminal)

  def observe(self) -> base.Observation:
    """Returns "image": the last frames as one, resized."""
    if self._aggregate == "max":
      image = np.amax(self._frames, 0)
    else:
      image = np.mean(self._frames, 0).astype(np.uint8)
    size = (self._size, self._size)
    image = np.array(
      Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    )
    if self._gray:
      image = (image * _GRAY).sum(-1).astype(np.uint8)[:, :, None]
    return {"image": image}

  def render(self, camera: str = "") -> UInt8[np.ndarray, "H W 3"]:
    """Returns the screen; there is one view, whatever its name."""
    return self._ale.getScreenRGB()

  def close(self) -> None:
    """Ends the episode."""
    self._steppable = False

  def _load(self, seed: int) -> None:
    with _LOCK:
      self._ale.setInt("random_seed", seed)
      self._ale.loadROM(self._rom)

  def _act(self, action: Any) -> float:
    # With both arguments: in one version of ALE, one alone did nothing.
    return float(self._ale.act(action, 1.0))

  def _act_unless_over(self, action: Any) -> None:
    self._act(action)
    if self._ale.game_over():
      self._ale.reset_game()

  def _grab(self) -> None:
    self._frames.rotate(1)
    self._ale.getScreenRGB(self._frames[0])

  def _after_frame(self) -> tuple[bool, bool]:
    """Counts a frame; returns is_last and is_terminal."""
    self._frame += 1
    lives = self._ale.lives()
    lost = 0 < lives < self._lives_before and self._lives != "unused"
    self._lives_before = lives
    is_terminal = self._ale.game_over() or lost
    is_last = (
      self._ale.game_over()
      or self._frame >= self._length
      or (lost and self._lives == "reset")
    )
    return is_last, is_terminal


def names() -> list[str]:
  """Returns the games whose ROMs ale-py brings."""
  return list(extras.load("ale_py.roms", "atari").get_all_rom_ids())


def make(
  game: str,
  *,
  image_size: int = 96,
  gray: bool = True,
  repeat: int = 4,
  pooling: int = 2,
  aggregate: str = "max",
  sticky: bool = True,
  actions: str = "all",
  lives: str = "unused",
  noops: int = 30,
  autostart: bool = False,
  clip_reward: bool = False,
  length: int = 108000,
) -> base.Env:
  """Returns the environment; `docs/envs.md` explains the options."""
  options = {k: v for k, v in locals().items() if k != "game"}
  game = "jamesbond" if game == "james_bond" else game  # as the reference
  known = names()
  if game not in known:
    raise errors.unknown("task", f"atari/{game}", [f"atari/{k}" for k in known])
  for name, choices in (
    *(("actions", _ACTIONS), ("lives", _LIVES), ("aggregate", _AGGREGATE)),
  ):
    if options[name] not in choices:
      raise errors.unknown(name, options[name], choices)
  for name in ("image_size", "repeat", "pooling", "length"):
    if options[name] < 1:
      raise errors.UserError(f"{name}={options[name]}: at least 1 is needed")
  if noops < 0:
    raise errors.UserError(f"noops={noops}: a count of frames")
  return AtariEnv(game, **options)
