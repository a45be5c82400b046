"""A hostile checkpoint: how it is forged, and how it must be refused."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import checking

HARMLESS = 0  # what it holds is read by nobody
REFUSED = 1
UNUSABLE = 2
UNSIGNED = 3


@dataclasses.dataclass(frozen=True)
class Case:
  """One way to carry out a threat.

  Attributes:
    name: what was done, in a word or two.
    forge: spoils a signed step; returns more words for the command line.
    red: a check that must fail.
    code: the exit code of validate-checkpoint.
    heavy: needs JAX or cryptography, such as --rerun.
    load: through `carnet.policy.load`, not through the command.
  """

  name: str
  forge: Callable[[pathlib.Path], list | None]
  red: str | None
  code: int = REFUSED
  heavy: bool = False
  load: bool = False


def edit(step, name, change):
  """Changes a JSON file, and makes all digests fit, as an attacker would."""
  path = step / name
  body = json.loads(path.read_bytes())
  change(body)
  path.write_text(json.dumps(body))
  checking.reseal(step)


def flip(path):
  """Flips the last bit of a file."""
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)
