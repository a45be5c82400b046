"""What the caller of `generate-passport` tells."""

import dataclasses
import pathlib

from carnet.passport import history
from carnet.passport.static import robot


@dataclasses.dataclass(frozen=True)
class Given:
  """Its flags; see `generate-passport --help`."""

  argv: tuple[str, ...] = ()
  target_repo: pathlib.Path | None = None
  training_repo: pathlib.Path | None = None
  dataset_repos: tuple[str, ...] = ()
  loader_classes: tuple[str, ...] = ()
  known_issues: tuple[history.KnownIssue, ...] = ()
  setup: robot.Setup | None = None
  allow_missing: tuple[str, ...] = ()
  reason: str = ""
  show_progress: bool = False
