"""The leaves of a step as rows of a tree, folded where they are too many."""

import collections
import dataclasses

from carnet.checkpoint import inspection

_EXAMPLES = 3  # of a group with more children than there are rows


@dataclasses.dataclass(frozen=True)
class Row:
  """One line: a component, a group of leaves, or a leaf with its shape.

  `summary` counts what is below a `folded` group, which is not shown.
  """

  depth: int
  name: str
  shape: tuple[int, ...] | None
  kind: str
  size_bytes: int
  summary: str
  folded: bool


@dataclasses.dataclass
class _Node:
  name: str
  kind: str = ""
  shape: tuple[int, ...] | None = None
  size_bytes: int = 0
  leaves: int = 0
  summary: str = ""
  dtypes: set[str] = dataclasses.field(default_factory=set)
  children: dict[str, "_Node"] = dataclasses.field(default_factory=dict)
  is_rest: bool = False


def draw(found: inspection.Contents, rows: int | None) -> list[Row]:
  """Returns the tree's lines, top down; with `rows`, about that many at most.

  Groups are opened breadth first, as long as all that is in them still fits;
  of one that never could, the first few stand for all. The components
  themselves are always there.
  """
  top = _grow(found)
  shown = _shown(top, rows)
  drawn = []
  waiting: list[tuple[int, _Node]] = [(0, node) for node in reversed(top)]
  while waiting:
    depth, node = waiting.pop()
    below = list(node.children.values())
    count = shown.get(id(node), 0)
    drawn.append(_row(depth, node, folded=bool(below) and not count))
    if 0 < count < len(below):
      waiting.append((depth + 1, _rest(below[count:])))
    waiting += [(depth + 1, child) for child in reversed(below[:count])]
  return drawn


def _grow(found: inspection.Contents) -> list[_Node]:
  top = {}
  for part in found.components:
    node = top[part.name] = _Node(part.name)
    if part.kind != inspection.ARRAYS:
      node.kind, node.size_bytes = part.kind, part.size_bytes
    node.summary = f"{part.chunks:,} chunks" if part.chunks else ""
    if part.processes:
      node.summary += f" of {part.processes} processes"
  for leaf in found.leaves:
    name, *names = leaf.path.split("/")
    node = top[name]
    passed = [node]
    for name in names:
      node = node.children.setdefault(name, _Node(name))
      passed.append(node)
    node.kind, node.shape = leaf.dtype, leaf.shape
    for above in passed:
      above.size_bytes += leaf.size_bytes
      above.leaves += 1
      above.dtypes.add(leaf.dtype)
  return list(top.values())


def _shown(top: list[_Node], rows: int | None) -> dict[int, int]:
  """Returns how many of a node's children are shown, by the node's id."""
  shown: dict[int, int] = {}
  used = len(top)
  waiting = collections.deque(top)
  while waiting:
    node = waiting.popleft()
    count = len(node.children)
    if rows is not None and count > rows:
      count = _EXAMPLES
    if rows is None or used + count <= rows:
      shown[id(node)] = count
      used += count
      waiting.extend(list(node.children.values())[:count])
  return shown


def _rest(nodes: list[_Node]) -> _Node:
  return _Node(
    name=f"... and {len(nodes):,} more",
    size_bytes=sum(node.size_bytes for node in nodes),
    leaves=sum(node.leaves for node in nodes),
    dtypes=set().union(*(node.dtypes for node in nodes)),
    is_rest=True,
  )


def _row(depth: int, node: _Node, folded: bool) -> Row:
  folded = folded or node.is_rest
  summary = f"{node.leaves:,} leaves" if folded else node.summary.strip()
  kind = ", ".join(sorted(node.dtypes)) if folded else node.kind
  shape = None if folded else node.shape
  return Row(depth, node.name, shape, kind, node.size_bytes, summary, folded)
