"""Text on its way to a terminal."""


def printable(text: str) -> str:
  """Returns text that a terminal shows and never obeys: escapes are spelled."""
  # a name in a file may hold what moves the cursor or turns the line around
  return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
