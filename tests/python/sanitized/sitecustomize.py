"""For an interpreter that a sanitizer was loaded into: interpreters are started with it, other programs without."""
import os
import sys

os.environ.pop("LD_PRELOAD", None)
sys.executable = os.environ["SPILE_PYTHON"]
