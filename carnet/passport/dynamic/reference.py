"""Reference frames of real data, and the actions that the policy gives.

A frame is asked on its own, as the first of an episode, unless the policy is
recurrent: then one episode goes through all frames.
"""

import pathlib

import jax
import numpy as np
import PIL.Image

from carnet import errors
from carnet.checkpoint import digest
from carnet.envs import base
from carnet.passport import contract, history
from carnet.passport.dynamic import subject as subject_lib

FRAMES = 10
SEED = 0
_VECTORS = "assets/reference_test_vector"
_PICTURES = "assets/reference_frames"
# Measured: another version of JAX 2e-6, another batch size 5e-6 on small nets
# in float32; actions are in radians, or within -1..1.
ATOL, RTOL = 1e-4, 1e-4


def write(
  directory: pathlib.Path,
  subject: subject_lib.Subject,
  fed: contract.InputContract,
) -> history.ReferenceVector | None:
  """Writes frames, states and answers below `directory`; None without frames.

  Raises:
    UserError: a picture is not what PNG holds, or nothing can be written.
  """
  if subject.frames is None:
    return None
  found = subject.frames(FRAMES)
  try:
    return _write(directory, subject, fed, found)
  except OSError as error:
    raise errors.UserError(
      f"cannot write below {directory}: {error.strerror}"
    ) from error


def _write(
  directory: pathlib.Path,
  subject: subject_lib.Subject,
  fed: contract.InputContract,
  found: subject_lib.Frames,
) -> history.ReferenceVector:
  images = {
    image.short_key: _pictures(directory, image, found.observations)
    for image in fed.images
  }
  keys = vector_keys(fed, found.observations[0])
  states = None
  if keys:
    rows = [join(observation, keys) for observation in found.observations]
    states = _array(directory, "input_states.npy", np.stack(rows))
  golden = _array(
    directory,
    "expected_actions.npy",
    answers(subject, found.observations, SEED),
  )
  return history.ReferenceVector(
    n_frames=len(found.observations),
    source_dataset=found.source,
    episode=found.episode,
    input_state_path=states[0] if states else None,
    input_state_hash=states[1] if states else None,
    input_images_path=_PICTURES if images else None,
    input_images_hash=images,
    input_prompt=fed.language.default_prompt if fed.language else None,
    expected_actions_path=golden[0],
    expected_actions_hash=golden[1],
    prng_seed=SEED,
    atol=ATOL,
    rtol=RTOL,
  )


def answers(
  subject: subject_lib.Subject,
  observations: tuple[base.Observation, ...],
  seed: int,
) -> np.ndarray:
  """Returns the actions [T, A] on consecutive observations."""
  given = []
  carry = subject.policy.init(1)
  for index, observation in enumerate(observations):
    if not subject.recurrent:
      carry = subject.policy.init(1)
    key = jax.random.fold_in(jax.random.key(seed), index)
    batch = {name: np.asarray(x)[None] for name, x in observation.items()}
    carry, action = subject_lib.ask(subject, carry, batch, key)
    given.append(action[0])
  return np.stack(given)


def vector_keys(
  fed: contract.InputContract, observation: base.Observation
) -> tuple[str, ...]:
  """Returns the keys that are no pictures, in the contract's order."""
  images = {image.key for image in fed.images}
  layout = fed.state.dataset_sub_keys or fed.state.sub_keys
  ordered = [part.name for part in layout if part.name in observation]
  rest = sorted(observation.keys() - images - set(ordered))
  return (*ordered, *rest)


def join(observation: base.Observation, keys: tuple[str, ...]) -> np.ndarray:
  """Returns the vectors of an observation as one, float32."""
  parts = [np.asarray(observation[k], np.float32).reshape(-1) for k in keys]
  return np.concatenate(parts)


def _pictures(
  directory: pathlib.Path,
  image: contract.Image,
  observations: tuple[base.Observation, ...],
) -> tuple[str, ...]:
  digests = []
  for index, observation in enumerate(observations):
    path = directory / f"{_PICTURES}/{image.short_key}_{index:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    _picture(observation[image.key]).save(path)
    digests.append(digest.file(path))
  return tuple(digests)


def _picture(frame: np.ndarray) -> PIL.Image.Image:
  frame = np.asarray(frame)
  if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
    raise errors.UserError(
      f"a reference frame is {frame.dtype} {frame.shape}: PNG takes uint8 "
      "[H, W, 1] or [H, W, 3]"
    )
  return PIL.Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame)


def _array(
  directory: pathlib.Path, name: str, array: np.ndarray
) -> tuple[str, str]:
  path = directory / _VECTORS / name
  path.parent.mkdir(parents=True, exist_ok=True)
  np.save(path, array.astype(np.float32), allow_pickle=False)
  return f"{_VECTORS}/{name}", digest.file(path)
