"""Which code this is: the commit of a git repository, or an installed wheel.

Git is asked without hooks, monitors, pagers or foreign diff programs, takes no
lock, and has some seconds to answer. What it does not tell stays None.
"""

import hashlib
import importlib.metadata
import os
import pathlib
import re
import subprocess
import urllib.parse
from collections.abc import Sequence
from typing import Annotated

import pydantic

_SECONDS = 20  # a working tree on a slow disk
_DEEPEST = 8  # submodules within each other
_SAFELY = (
  *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"),
  *("--no-optional-locks", "--no-pager"),
)
_STATUS = (
  *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"),
)
# the same bytes whatever the user's configuration of git says
_DIFF = (
  *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"),
  *("--full-index", "--binary", "--diff-algorithm=myers", "--unified=3"),
  *("--no-indent-heuristic", "--inter-hunk-context=0", "-O/dev/null"),
  *("--src-prefix=a/", "--dst-prefix=b/", "HEAD", "--"),
)
_SCHEMES = ("http", "https", "ssh", "git")
# as scp has it; C:\repository is another thing
_SHORT = re.compile(r"([^/:@]+@)?(?P<host>[\w.-]{2,}):(?P<path>[^@:\\]+)")
Commit = Annotated[
  str, pydantic.Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")
]
Sha256 = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]


class Repository(pydantic.BaseModel):
  """Identity of code; None is what nobody knows.

  Attributes:
    remote: URL of origin, or of the first remote, without credentials.
    commit: 40 or 64 hexadecimal digits.
    dirty: the working tree has changes, or files that git does not know.
    diff_sha256: when dirty, of `git diff HEAD`, as `_DIFF` spells it.
    untracked: how many files git does not know; the diff has none of them.
    package: "name version" of an installed wheel, or `sources.identity`.
    record_sha256: of the rows of the wheel's RECORD, which lists the sha256 of
      its files; of those rows that no environment changes.
  """

  model_config = pydantic.ConfigDict(
    extra="forbid", strict=True, frozen=True, defer_build=True
  )

  remote: str | None = None
  commit: Commit | None = None
  dirty: bool | None = None
  diff_sha256: Sha256 | None = None
  untracked: int | None = None
  package: str | None = None
  record_sha256: Sha256 | None = None


def of_package(
  path: pathlib.Path, distribution: str | None = None
) -> Repository:
  """Returns the identity of the code that `path`, one of its files, is of.

  A file that git does not track, such as one in the environment below a
  repository, is none of that repository's.

  Args:
    path: a module of the package.
    distribution: as which it may be installed here, if it may.
  """
  place = path.resolve()
  # from the package's directory, which may lie anywhere in the repository
  if (
    _git(place.parent, "ls-files", "--error-unmatch", "--", place.name) is None
  ):
    return _installed(place, distribution) if distribution else Repository()
  return of_directory(place.parent)


def of_directory(path: pathlib.Path) -> Repository:
  """Returns the identity of the repository that a directory lies in."""
  top = root(path)
  if top is None:
    return Repository()
  commit = _text(top, "rev-parse", "--verify", "HEAD")
  settings = _without_filters(top)
  status = _git(top, *_STATUS, settings=settings) if settings else None
  dirty, difference, untracked = None, None, None
  if status is not None:
    dirty = bool(status)
    untracked = sum(x.startswith(b"?? ") for x in status.split(b"\0"))
  if dirty and commit:
    content = _git(top, *_DIFF, settings=settings)
    difference = content and hashlib.sha256(content).hexdigest()
  return Repository(
    remote=_remote(top),
    commit=commit,
    dirty=dirty,
    diff_sha256=difference or None,
    untracked=untracked,
  )


def root(path: pathlib.Path) -> pathlib.Path | None:
  """Returns the top of the working tree that a directory lies in, or None."""
  found = _text(path, "rev-parse", "--show-toplevel")
  return pathlib.Path(found) if found else None


def untracked(path: pathlib.Path) -> tuple[str, ...]:
  """Returns the files below a directory that git neither knows nor ignores."""
  listed = _git(path, "ls-files", "--others", "--exclude-standard", "-z")
  return tuple(os.fsdecode(name) for name in (listed or b"").split(b"\0")[:-1])


def without_credentials(url: str) -> str | None:
  """Returns the address of a repository without user, password and query.

  None for one that cannot be taken apart with certainty, and for a path on
  this machine, which tells others nothing.
  """
  if "://" not in url:
    short = _SHORT.fullmatch(url)
    return f"{short['host']}:{short['path']}" if short else None
  try:
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname, parts.port  # ValueError: no number
  except ValueError:
    return None
  behind = f"{parts.path}{parts.query}{parts.fragment}"
  # an @ behind the host is a password that held a delimiter
  if parts.scheme not in _SCHEMES or not host or "@" in behind:
    return None
  place = f"[{host}]" if ":" in host else host
  place += "" if port is None else f":{port}"
  return f"{parts.scheme}://{place}{parts.path}"


def _remote(top: pathlib.Path) -> str | None:
  names = (_text(top, "remote") or "").split()
  if not names:
    return None
  name = "origin" if "origin" in names else names[0]
  # as configured: `git remote get-url` may put a token in
  url = _text(top, "config", "--get", f"remote.{name}.url")
  return without_credentials(url) if url else None


def _installed(path: pathlib.Path, distribution: str) -> Repository:
  try:
    found = importlib.metadata.distribution(distribution)
    record = found.read_text("RECORD")
  except (importlib.metadata.PackageNotFoundError, OSError):
    return Repository()
  listed = [file.locate() for file in found.files or ()]
  if record is None or path not in map(_resolved, listed):
    return Repository()
  return Repository(
    package=f"{distribution} {found.version}",
    record_sha256=hashlib.sha256(_fixed_rows(record).encode()).hexdigest(),
  )


def _fixed_rows(record: str) -> str:
  """Returns the rows of a RECORD that are the same wherever it is installed.

  Commands name their interpreter, and installers add what they know and did.
  """
  names = ((row.partition(",")[0], row) for row in record.splitlines())
  return "".join(
    f"{row}\n"
    for name, row in sorted(names)
    if not name.startswith(("..", "/"))
    and ".dist-info/" not in name
    and not name.endswith(".pyc")
  )


def _resolved(path: os.PathLike[str]) -> pathlib.Path:
  return pathlib.Path(path).resolve()


def _text(place: pathlib.Path, *words: str) -> str | None:
  content = _git(place, *words)
  if content is None:
    return None
  return content.decode(errors="replace").strip() or None


def _without_filters(top: pathlib.Path) -> dict[str, str] | None:
  """Returns an environment in which git runs none of the repository's filters.

  `.gitattributes` names them, and git would run them on files that changed.
  Those of the user's own configuration, such as git-lfs, stay. None if git
  does not tell.
  """
  names = _filters(top, _DEEPEST)
  if names is None:
    return None
  # not as -c name=value: a name may have = in it
  made = {"GIT_CONFIG_COUNT": str(len(names))}
  for index, name in enumerate(sorted(names)):
    made[f"GIT_CONFIG_KEY_{index}"] = name
    required = name.endswith(".required")
    made[f"GIT_CONFIG_VALUE_{index}"] = "false" if required else ""
  return made


def _filters(top: pathlib.Path, deepest: int) -> set[str] | None:
  """Returns the settings of filters, also of submodules: git looks in them."""
  told = _git(top, "config", "--null", "--show-scope", "--name-only", "--list")
  listed = _git(top, "ls-files", "--stage", "-z")
  if told is None or listed is None or not deepest:
    return None
  words = told.decode(errors="surrogateescape").split("\0")
  names = {
    name
    for scope, name in zip(words[::2], words[1::2], strict=False)
    if scope in ("local", "worktree") and name.startswith("filter.")
  }
  for row in listed.split(b"\0"):
    place = top / os.fsdecode(row.partition(b"\t")[2])
    if row.startswith(b"160000 ") and os.path.lexists(place / ".git"):
      inner = _filters(place, deepest - 1)
      if inner is None:
        return None
      names |= inner
  return names


def _git(
  place: pathlib.Path, *words: str, settings: dict[str, str] | None = None
) -> bytes | None:
  """Returns what git prints, or None when it fails or takes too long."""
  clean = {k: x for k, x in os.environ.items() if not k.startswith("GIT_")}
  command: Sequence[str] = ("git", *_SAFELY, "-C", os.fspath(place), *words)
  quiet = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
  try:
    done = subprocess.run(
      command,
      env=clean | quiet | (settings or {}),
      stdin=subprocess.DEVNULL,
      capture_output=True,
      timeout=_SECONDS,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return done.stdout
