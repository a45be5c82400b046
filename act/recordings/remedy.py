"""What is said of episodes that cannot be used: one wording for all formats."""

import re

SKIP_BAD = "--skip-bad-episodes leaves such episodes out"
_ADDRESS = re.compile(r" (at|@) 0x[0-9a-fA-F]+")


def exclude(episode: int) -> str:
  """Returns the end of a line about a picture that cannot be decoded."""
  return (
    f'leave the episode out: --config.dataset.exclude_episodes="({episode},)" '
    "in training, or --skip-bad-episodes"
  )


def cause(error: Exception) -> str:
  """Returns the words of a library in one line, the same in every run.

  Caches keep it, and the address of an object would differ.
  """
  if type(error).__name__ == "UnidentifiedImageError":  # Pillow shows a file
    return "these bytes are no picture of a known format"
  text = _ADDRESS.sub("", " ".join(str(error).split()))
  return text or type(error).__name__
