"""Episodes among each other: lengths, twins, tasks, clocks, and what is out."""

import hashlib
import re
from collections.abc import Iterator

import numpy as np

from act.inspection import report, vectors
from act.recordings import base, metadata

_ODD = 3.0  # times shorter or longer than the median
_FEWEST = 5  # episodes that have a usual length
_DRIFT = 0.5  # frames


def findings(
  recording: base.Recording, skip_bad: bool
) -> Iterator[report.Finding]:
  """Yields what is wrong with whole episodes.

  `skip_bad`: that unsound ones are left out was asked for.
  """
  expected = metadata.uncached(recording)
  for skipped in recording.skipped:
    known = skip_bad or skipped.episode in expected
    yield report.Finding(
      kind="unsound episode",
      severity="warning" if known else "severe",
      said=skipped.reason,
      advice="It is left out of all that follows. Mend it, or train with "
      "--skip-bad-episodes.",
      episode=skipped.episode,
    )
  yield from _lengths(recording)
  yield from _twins(recording)
  yield from _tasks(recording)
  yield from _clocks(recording)
  yield from _remarks(recording)
  if recording.fps is None:
    yield report.Finding(
      kind="unknown rate",
      severity="warning",
      said="The data do not tell how many frames a second they have.",
      advice="Tell the rate when the policy is evaluated or exported: actions "
      "at another rate are other motions.",
    )


def _lengths(recording: base.Recording) -> Iterator[report.Finding]:
  lengths = recording.lengths
  if len(lengths) < _FEWEST:
    return
  usual = float(np.median(lengths))
  for index in np.flatnonzero(lengths * _ODD < usual):
    yield report.Finding(
      kind="short episode",
      severity="warning",
      said=f"{int(lengths[index])} frames; most have about {usual:.0f}.",
      advice="Look whether it was broken off, and leave it out if so.",
      episode=int(recording.episodes[index]),
    )
  for index in np.flatnonzero(lengths > _ODD * usual):
    yield report.Finding(
      kind="long episode",
      severity="warning",
      said=f"{int(lengths[index])} frames; most have about {usual:.0f}.",
      advice="Look whether the recording was left running, and cut it if so.",
      episode=int(recording.episodes[index]),
    )


def _twins(recording: base.Recording) -> Iterator[report.Finding]:
  seen: dict[bytes, int] = {}
  ends = recording.first_frames + recording.lengths
  moving = [x.values for n, x in recording.vectors.items() if vectors.moves(n)]
  for number, first, end in zip(
    recording.episodes.tolist(),
    recording.first_frames.tolist(),
    ends.tolist(),
    strict=True,
  ):
    digest = hashlib.sha256(str(end - first).encode())
    for values in moving:
      digest.update(values[first:end].tobytes())
    other = seen.setdefault(digest.digest(), number)
    if other != number and moving:
      yield report.Finding(
        kind="episode twice",
        severity="warning",
        said=f"All its numbers are those of episode {other}.",
        advice="Leave one out: it counts double, and held-out loss tells "
        "nothing where its twin was trained on.",
        episode=number,
      )


def _tasks(recording: base.Recording) -> Iterator[report.Finding]:
  silent = [
    number
    for number, task in zip(recording.episodes, recording.tasks, strict=True)
    if not task.strip()
  ]
  if not silent:
    return
  everywhere = len(silent) == len(recording.tasks)
  yield report.Finding(
    kind="task without text",
    severity="note" if everywhere else "warning",
    said="No episode says what is done in it."
    if everywhere
    else f"{len(silent)} episodes do not say what is done in them.",
    advice="ACT does not read it; a policy with language needs it.",
    episode=None if everywhere else int(silent[0]),
  )


def _clocks(recording: base.Recording) -> Iterator[report.Finding]:
  """Looks at vectors of one number a frame that are called timestamp."""
  if recording.fps is None:
    return
  for name, vector in recording.vectors.items():
    if "timestamp" not in name.lower() or vector.values.shape[1] != 1:
      continue
    times = vector.values[:, 0].astype(np.float64)
    starts = np.repeat(recording.first_frames, recording.lengths)
    frames = np.arange(len(times)) - starts
    drift = (times - times[starts]) * recording.fps - frames
    worst = int(np.argmax(np.abs(drift)))
    if abs(drift[worst]) > _DRIFT:
      episode, position = vectors.locate(recording, worst)
      yield report.Finding(
        kind="clock drifts",
        severity="warning",
        said=f"It is {drift[worst]:+.3g} frames from frame / fps.",
        advice="Frames are missing, or the rate is not the one that is told; "
        "frames are taken by their number here, so nothing is shifted.",
        feature=name,
        episode=episode,
        frame=position,
      )


def _remarks(recording: base.Recording) -> Iterator[report.Finding]:
  """Repeats what a reader found odd and could read all the same."""
  notes = recording.details.get("notes")
  for note in notes if isinstance(notes, list) else ():
    told = re.fullmatch(r"episode (\d+): (.*)", str(note), re.DOTALL)
    clock = "timestamps" in str(note)
    yield report.Finding(
      kind="clock drifts" if clock else "remark of the reader",
      severity="warning",
      said=told[2] if told else str(note),
      advice="Frames are missing, or the rate is not the one that is told."
      if clock
      else "Look there before training.",
      episode=int(told[1]) if told else None,
    )
