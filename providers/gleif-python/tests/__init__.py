"""Where the tests find the provider and its SDK, without anything being installed."""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE.parent / "src"), str(_HERE.parents[2] / "sdk/python/src")]
