"""The way from sensors to the command, as a drawing and as a table."""

from carnet.passport import pipeline, schema
from carnet.passport.formats import rows
from carnet.passport.page import boxes, markup

Element = markup.Element
_MOST_BOXES = 400  # that anybody would look at
_LETTERS = 18  # of a title that fit into a column


def build(passport: schema.Passport) -> Element:
  """Returns the drawing, and the same as a table."""
  found = boxes.build(passport)
  drawn: markup.Child = f"{len(found)} boxes are too many to draw."
  if len(found) <= _MOST_BOXES:
    drawn = markup.scroll(
      _drawing(found), "Drawing from sensors to the command"
    )
  outside = any(box.kind == "outside" for box in found)
  note = "Dashed: outside of the policy, in the environment."
  return markup.join(
    drawn,
    markup.element("p", note, class_="muted") if outside else None,
    markup.element(
      "details",
      markup.element("summary", "The same as a table"),
      _table(passport),
    ),
  )


def _drawing(found: list[boxes.Box]) -> Element:
  width = max(box.left + box.width for box in found)
  height = max(box.top + box.height for box in found)
  edges = [_edge(above, box) for box in found for above in box.above]
  return markup.element(
    "svg",
    markup.element("title", "The chain from sensor to action", id="chain-t"),
    markup.element(
      "desc",
      f"{len(found)} boxes from top to bottom: "
      + "; ".join(rows.plain(box.title) for box in found),
      id="chain-d",
    ),
    *edges,
    *map(_drawn, found),
    class_="chain fits" if width < 350 else "chain",
    role="img",
    aria_labelledby="chain-t chain-d",
    viewBox=f"-2 -2 {width + 4} {height + 4}",
    width=width + 4,
    height=height + 4,
  )


def _edge(above: boxes.Box, below: boxes.Box) -> Element:
  """Draws an arrow from one box to the next, straight where it can be."""
  start, end = above.top + above.height, below.top - 1
  x = above.middle
  inside = below.left <= x <= below.left + below.width
  target = x if inside else below.middle
  half = end - boxes.BETWEEN / 2
  path = f"M{x:g} {start} V{half:g} H{target:g} V{end} m-4 -6 l4 6 l4 -6"
  return markup.element("path", d=path, class_="edge")


def _drawn(box: boxes.Box) -> Element:
  x = f"{box.middle:g}"
  first = box.top + boxes.PAD + 12
  title = rows.plain(box.title)
  room = _LETTERS * box.width // boxes.WIDTH
  if len(title) > room:
    title = f"...{title[3 - room :]}"
  return markup.element(
    "g",
    markup.element(
      "rect",
      x=box.left,
      y=box.top,
      width=box.width,
      height=box.height,
      rx=8,
    ),
    markup.element("text", title, x=x, y=first, class_="title"),
    *(
      markup.element("text", line, x=x, y=first + boxes.LINE * (index + 1))
      for index, line in enumerate(box.lines)
    ),
    class_=f"box {box.kind}",
  )


def _table(passport: schema.Passport) -> Element:
  body: list[tuple[markup.Child, ...]] = [
    (
      str(step.index),
      step.stage,
      step.op,
      ", ".join(pipeline.reads(step)),
      step.output_key,
      "; ".join(f"{name} {value}" for name, value in boxes.parameters(step)),
      step.executed_by,
      "yes" if step.invertible else "no",
      step.code_ref,
    )
    for step in passport.transform_pipeline
  ]
  head = ("step", "stage", "operation", "reads", "gives", "parameters")
  return markup.table(
    "Transform pipeline",
    (*head, "executed by", "invertible", "code"),
    body,
  )
