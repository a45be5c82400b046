"""Atari games, preprocessed as by embodied/envs/atari.py of danijar/dreamerv3.

Defaults are the reference's `env.atari`. Departures, where it is at fault:
`is_terminal` is set by the end of a game and by lives, never by the step limit
(it sets it to `is_last`); `sticky` is set before the game is loaded, after
which ALE ignores it (so that the reference's `sticky=False` stays at 0.25); and
the first picture is of the first frame (it overwrites that with an older one).
"""

import collections
import dataclasses
import threading
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from carnet import errors, extras
from carnet.envs import base, spaces

_LOCK = threading.Lock()  # as the reference: games load one at a time
_GRAY = np.array([0.299, 0.587, 1 - (0.299 + 0.587)])
_FRAMES_PER_SECOND = 60.0
_STICKY = 0.25
_CHOICES = {
  "aggregate": ("max", "mean"),
  "actions": ("all", "needed"),
  "lives": ("unused", "discount", "reset"),
}
_LEAST = {"image_size": 1, "repeat": 1, "pooling": 1, "length": 1, "noops": 0}


@dataclasses.dataclass(frozen=True)
class Settings:
  """The options; `UserError` for a value that cannot be."""

  image_size: int = 96
  gray: bool = True
  repeat: int = 4  # frames of an action
  pooling: int = 2  # frames that a picture is made of
  aggregate: str = "max"
  sticky: bool = True
  actions: str = "all"
  lives: str = "unused"  # "discount": one lost is terminal; "reset": the end
  noops: int = 30  # frames at most that pass at the start
  autostart: bool = False  # press fire and up then
  clip_reward: bool = False
  length: int = 108000  # frames

  def __post_init__(self) -> None:
    for name, choices in _CHOICES.items():
      if getattr(self, name) not in choices:
        raise errors.unknown(name, getattr(self, name), choices)
    for name, least in _LEAST.items():
      if getattr(self, name) < least:
        raise errors.UserError(
          f"{name}={getattr(self, name)}: at least {least} is needed"
        )


class AtariEnv:
  """One game; an action is held for `repeat` frames."""

  success_reward: float | None = None

  def __init__(self, game: str, settings: Settings) -> None:
    module = extras.load("ale_py", "atari")
    module.ALEInterface.setLoggerMode(module.LoggerMode.Error)  # no greeting
    self._buttons, self._ale = module.Action, module.ALEInterface()
    self._ale.setFloat(
      "repeat_action_probability", _STICKY if settings.sticky else 0.0
    )
    self._rom = extras.load("ale_py.roms", "atari").get_rom_path(game)
    self._load(0)
    self._settings = settings
    if settings.actions == "all":
      self.actions = self._ale.getLegalActionSet()
    else:
      self.actions = self._ale.getMinimalActionSet()
    screen = np.zeros((*self._ale.getScreenDims(), 3), np.uint8)
    self._frames = collections.deque(
      [screen.copy() for _ in range(settings.pooling)]
    )
    self._lives, self._frame, self._steppable = 0, 0, False
    self.control_hz = _FRAMES_PER_SECOND / settings.repeat
    count, size = len(self.actions), settings.image_size
    self.action_space = base.Space((), "int32", 0.0, count - 1.0, count)
    shape = (size, size, 1 if settings.gray else 3)
    self.observation_space = {"image": base.Space(shape, "uint8", 0.0, 255.0)}

  def reset(self, seed: int, observe: bool = True) -> base.Step:
    """Loads the game anew (80 ms), as its random numbers start only so."""
    generator = np.random.default_rng(seed)
    self._load(int(generator.integers(2**31)))
    for _ in range(generator.integers(self._settings.noops + 1)):
      self._press(self._buttons.NOOP)
    if self._settings.autostart and self._buttons.FIRE in self.actions:
      self._press(self._buttons.FIRE)
      self._press(self._buttons.UP)
    for _ in range(len(self._frames)):
      self._grab()
    self._lives, self._frame = self._ale.lives(), 0
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
    for left in reversed(range(self._settings.repeat)):
      reward += self._act(chosen)
      if left < len(self._frames):
        self._grab()
      is_last, is_terminal = self._after_frame()
      if is_last or is_terminal:
        break
    self._steppable = not is_last
    if self._settings.clip_reward:
      reward = float(np.sign(reward))
    seen = self.observe() if observe else None
    return base.Step(seen, reward, False, is_last, is_terminal)

  def observe(self) -> base.Observation:
    """Returns "image": the last frames as one, resized."""
    if self._settings.aggregate == "max":
      image = np.amax(self._frames, 0)
    else:
      image = np.mean(self._frames, 0).astype(np.uint8)
    size = (self._settings.image_size, self._settings.image_size)
    image = np.array(
      Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    )
    if self._settings.gray:
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

  def _press(self, action: Any) -> None:
    self._act(action)
    if self._ale.game_over():
      self._ale.reset_game()

  def _grab(self) -> None:
    self._frames.rotate(1)
    self._ale.getScreenRGB(self._frames[0])

  def _after_frame(self) -> tuple[bool, bool]:
    """Counts a frame; returns is_last and is_terminal."""
    self._frame += 1
    before, self._lives = self._lives, self._ale.lives()
    lost = 0 < self._lives < before
    over, mode = self._ale.game_over(), self._settings.lives
    return (
      over
      or self._frame >= self._settings.length
      or (lost and mode == "reset"),
      over or (lost and mode != "unused"),
    )


def names() -> list[str]:
  """Returns the games whose ROMs ale-py brings."""
  return list(extras.load("ale_py.roms", "atari").get_all_rom_ids())


def make(game: str, **options: Any) -> base.Env:
  """Returns the environment; the options are those of `Settings`."""
  game = "jamesbond" if game == "james_bond" else game  # as the reference
  known = names()
  if game not in known:
    raise errors.unknown("task", f"atari/{game}", [f"atari/{k}" for k in known])
  fields = [field.name for field in dataclasses.fields(Settings)]
  for name in options:
    if name not in fields:
      raise errors.unknown(f"option of atari/{game}:", name, fields)
  return AtariEnv(game, Settings(**options))
