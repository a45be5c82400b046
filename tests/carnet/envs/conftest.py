"""Lets the tests here, and the processes they start, import helper modules."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
