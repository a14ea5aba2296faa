"""Runs pip such that what it builds in a folder that is temporary does not differ from run to run."""

import runpy
import sys
import tempfile


class Names:
    """The names of temporary files, in order rather than by chance: compilers write them into what they make."""

    def __init__(self):
        self.last = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.last += 1
        return "%08d" % self.last


tempfile._name_sequence = Names()
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
