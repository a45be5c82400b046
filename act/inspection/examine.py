"""Inspects demonstrations of any format."""

from collections.abc import Callable

from act.inspection import actions, episodes, pictures, report, stored, vectors
from act.recordings import base


def examine(
  recording: base.Recording,
  full: bool = False,
  skip_bad: bool = False,
  whole: bool = True,
  progress: Callable[[int], None] = lambda done: None,
) -> report.Report:
  """Returns what there is, and what is wrong with it.

  Args:
    recording: opened with `skip_bad`, so that what is unsound can be told.
    full: look at every picture, not at some.
    skip_bad: that unsound episodes are left out was asked for.
    whole: all episodes were opened, so that stored statistics must fit.
    progress: hears how many episodes' pictures were looked at.
  """
  measured = tuple(vectors.measure(recording))
  looked = pictures.examine(recording, full, progress)
  features = (*measured, *looked.features)
  whole = whole and not recording.skipped
  differences = tuple(stored.compare(recording, features))
  return report.Report(
    origin=recording.origin,
    identity=recording.identity,
    format=recording.format,
    revision=recording.revision,
    fps=recording.fps,
    episodes=_episodes(recording),
    features=features,
    statistics="stored" if recording.statistics else "none stored",
    differences=differences,
    findings=report.worst_first(
      [
        *episodes.findings(recording, skip_bad),
        *vectors.findings(recording),
        *actions.findings(recording),
        *stored.findings(recording, features, differences, whole),
        *looked.findings,
      ]
    ),
    pictures_read=looked.read,
    full=full,
    details=recording.details,
  )


def _episodes(recording: base.Recording) -> tuple[report.Episode, ...]:
  rows = zip(
    recording.episodes.tolist(),
    recording.lengths.tolist(),
    recording.tasks,
    strict=True,
  )
  return tuple(report.Episode(*row) for row in rows)
