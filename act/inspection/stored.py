"""Statistics that came with the data, against the data."""

from collections.abc import Iterator, Mapping, Sequence

from act.inspection import report
from act.recordings import base

# quantiles are left out: LeRobot's are means over episodes, not of the data
_VECTOR = ("mean", "std", "min", "max")
_CAMERA = ("mean", "std")  # from samples, there and here
_TOLD = {"vector": 1e-3, "camera": 0.2}  # deviations that are worth a line
_SEVERE = 1.0


def compare(
  recording: base.Recording, features: Sequence[report.Feature]
) -> Iterator[report.Difference]:
  """Yields what differs, of statistics of the features that were measured."""
  for feature in features:
    stored = _of(recording.statistics, feature.name)
    wanted = _VECTOR if feature.kind == "vector" else _CAMERA
    for statistic in wanted if stored else ():
      row = stored.get(statistic)
      if row is None or len(row) != len(feature.dimensions):
        continue
      for value, dimension in zip(row, feature.dimensions, strict=True):
        measured = getattr(dimension, statistic)
        # a joint that stands still has no deviations to count in
        scale = max(dimension.std, 1e-6 * max(1.0, abs(dimension.mean)))
        deviations = abs(value - measured) / scale
        if not deviations <= _TOLD[feature.kind]:
          yield report.Difference(
            feature=feature.name,
            statistic=statistic,
            dimension=dimension.name,
            stored=float(value),
            measured=measured,
            deviations=deviations,
          )


def lacking(
  recording: base.Recording, features: Sequence[report.Feature]
) -> list[str]:
  """Returns the features without a mean and a deviation of their own width."""
  return [
    feature.name
    for feature in features
    if any(
      len(_of(recording.statistics, feature.name).get(name, ()))
      != len(feature.dimensions)
      for name in ("mean", "std")
    )
  ]


def findings(
  recording: base.Recording,
  features: Sequence[report.Feature],
  differences: Sequence[report.Difference],
  whole: bool,
) -> Iterator[report.Finding]:
  """Yields a finding for each feature whose statistics differ."""
  if not recording.statistics:
    return
  if missing := lacking(recording, [x for x in features if x.dimensions]):
    yield report.Finding(
      kind="statistics missing",
      severity="warning",
      said=f"There are none of {', '.join(missing)}.",
      advice="They are computed when training starts; a tool that takes the "
      "stored ones would leave these as they are.",
    )
  for name in dict.fromkeys(x.feature for x in differences):
    yield _differs([x for x in differences if x.feature == name], whole)


def _differs(
  differences: Sequence[report.Difference], whole: bool
) -> report.Finding:
  worst = max(differences, key=lambda x: x.deviations)
  severe = whole and worst.deviations > _SEVERE
  partly = "" if whole else " Not all episodes were read, which may be why."
  return report.Finding(
    kind="statistics differ",
    severity="severe" if severe else "warning" if whole else "note",
    said=f"The stored {worst.statistic} of {worst.dimension} is "
    f"{worst.stored:.5g}, the data have {worst.measured:.5g}: "
    f"{worst.deviations:.3g} deviations apart.{partly}",
    advice="Compute them again from all episodes: with the stored "
    "ones a policy sees and does something else than was recorded.",
    feature=worst.feature,
    dimensions=tuple(dict.fromkeys(x.dimension for x in differences)),
  )


def _of(
  statistics: Mapping[str, Mapping[str, list[float]]], name: str
) -> Mapping[str, list[float]]:
  return statistics.get(name) or statistics.get(f"images/{name}") or {}
