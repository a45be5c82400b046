"""The boxes of the chain from sensor to action: what each says, and where.

A column for each sensor: boxes from top to bottom, one for each step of the
transform pipeline, joined in the model.
"""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

from carnet.passport import pipeline, schema, steps
from carnet.passport.formats import rows
from carnet.passport.page import markup

WIDTH, _GAP = 160, 14  # of a column, and between columns
LINE, PAD, BETWEEN = 16, 10, 26  # of text; around it; between boxes
_LETTERS = 21  # that fit into a column at 12 pixels, even of a wide font
_LARGEST_ROWS = 5  # of text below a box's title


@dataclasses.dataclass
class Box:
  """A box: what it says, and where it stands."""

  title: str
  lines: list[str]
  kind: str
  column: int
  columns: int = 1
  above: Sequence["Box"] = ()
  top: int = 0

  @property
  def left(self) -> int:
    """Its left edge."""
    return self.column * (WIDTH + _GAP)

  @property
  def width(self) -> int:
    """Over all of its columns."""
    return self.columns * (WIDTH + _GAP) - _GAP

  @property
  def height(self) -> int:
    """With room for its lines."""
    return 2 * PAD + LINE * (1 + len(self.lines))

  @property
  def middle(self) -> float:
    """Where arrows begin and end."""
    return self.left + self.width / 2


def build(passport: schema.Passport) -> list[Box]:
  """Returns the boxes, from top to bottom of each column."""
  found: list[Box] = []
  last: dict[str, Box] = {}  # key -> the box that gave it
  columns = 0
  for step in passport.transform_pipeline:
    if step.stage != "pre":
      continue
    for key in pipeline.reads(step):
      if key not in last:
        last[key] = _sensor(passport, key, columns)
        found.append(last[key])
        columns += 1
    above = [last[key] for key in dict.fromkeys(pipeline.reads(step))]
    for key in pipeline.reads(step):
      last.pop(key, None)
    box = _step(step, *_extent(above))
    box.above = above
    box.top = max(x.top + x.height for x in above) + BETWEEN
    last[step.output_key] = box
    found.append(box)
  contract = passport.input_contract
  taken = {box.title for box in found}
  for image in contract.images if contract else ():
    if image.key not in taken:  # it goes to the model as it is
      last[image.key] = _sensor(passport, image.key, columns)
      found.append(last[image.key])
      columns += 1
  columns = max(columns, 1)
  model = _model(passport, columns, list(last.values()))
  return [*found, model, *_after(passport, model, columns)]


def _extent(above: Sequence[Box]) -> tuple[int, int]:
  """Returns the first column below boxes and how many, if they are in a row."""
  taken = {x.column + index for x in above for index in range(x.columns)}
  first, last = min(taken), max(taken)
  in_a_row = len(taken) == last - first + 1
  return first, len(taken) if in_a_row else 1


def _sensor(passport: schema.Passport, key: str, column: int) -> Box:
  lines = []
  contract = passport.input_contract
  for image in contract.images if contract else ():
    if image.key == key:
      low, high = image.value_range
      lines = [
        f"{markup.size(image.shape)} {image.color}",
        f"{image.dtype}, {markup.number(low)} to {markup.number(high)}",
      ]
  vectors = {*_sensor_keys(passport)} - {
    image.key for image in (contract.images if contract else ())
  }
  if contract is not None and vectors == {key} and contract.state.dim:
    lines = [_elements(contract.state.dim)]
  return Box(key, _wrap(lines), "sensor", column)


def _sensor_keys(passport: schema.Passport) -> Iterator[str]:
  """Yields the keys that no step gives before another reads them."""
  made = set()
  for step in passport.transform_pipeline:
    if step.stage == "pre":
      yield from (key for key in pipeline.reads(step) if key not in made)
      made.add(step.output_key)


def _elements(count: int) -> str:
  return f"{count} element{'s' * (count != 1)}"


def _model(passport: schema.Passport, columns: int, above: list[Box]) -> Box:
  identity = passport.model_identity
  lines = []
  parameters = passport.model_internals.parameters
  if parameters is not None:
    lines.append(f"{parameters.total_params:,} parameters")
  if passport.input_contract is not None:
    actions = passport.input_contract.actions
    lines.append(
      f"answers {markup.size((actions.horizon, actions.dim))} actions"
    )
  top = max((x.top + x.height for x in above), default=-BETWEEN) + BETWEEN
  name = identity.class_name or passport.family
  return Box(name, _wrap(lines, columns), "model", 0, columns, above, top)


def _after(passport: schema.Passport, model: Box, columns: int) -> list[Box]:
  """Returns the boxes from the model to the command."""
  found = []
  above = model
  for step in passport.transform_pipeline:
    if step.stage == "post":
      box = _step(step, 0, columns)
      box.above = [above]
      box.top = above.top + above.height + BETWEEN
      found.append(box)
      above = box
  command = Box(
    "command", _command(passport, columns), "sensor", 0, columns, [above]
  )
  command.top = above.top + above.height + BETWEEN
  return [*found, command]


def _command(passport: schema.Passport, columns: int) -> list[str]:
  if passport.input_contract is None:
    return []
  actions = passport.input_contract.actions
  lines = [f"{_elements(actions.dim)}, {actions.kind}"]
  rate = passport.input_contract.temporal.control_hz
  if rate is not None:
    lines.append(f"{markup.number(rate)} a second")
  return _wrap(lines, columns)


def _step(step: steps.TransformStep, column: int, columns: int = 1) -> Box:
  kind = "step" if step.executed_by == "policy" else "outside"
  told = [f"{name} {value}" for name, value in parameters(step)]
  lines = _wrap(told, columns)
  return Box(f"{step.index} {step.op}", lines, kind, column, columns)


def parameters(step: steps.TransformStep) -> list[tuple[str, str]]:
  """Returns names and values of a step's parameters that are set."""
  found = []
  for name in type(step.params).model_fields:
    value = getattr(step.params, name)
    if value is None or value == ():
      continue
    if name == "statistics":
      value = f"{value.key} in {value.file}"
    elif name == "constants":
      name, value = "mean", f"{_value(value.mean)}, std {_value(value.std)}"
    found.append((name.replace("_", " "), _value(value)))
  return found


def _value(value: object) -> str:
  if isinstance(value, bool):
    return "yes" if value else "no"
  if isinstance(value, float):
    return markup.number(value)
  if isinstance(value, tuple):
    shown = ", ".join(_value(item) for item in value[:8])
    return shown + ", ..." * (len(value) > 8)
  return str(value)


def _wrap(lines: Sequence[str], columns: int = 1) -> list[str]:
  found = []
  for line in lines:
    found += textwrap.wrap(rows.plain(line), _LETTERS * columns) or [""]
  if len(found) > _LARGEST_ROWS:
    found = [*found[: _LARGEST_ROWS - 1], "..."]
  return found
