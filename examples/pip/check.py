# Runs inside the image, as its user, on a read-only root without a network: conda's program and pip's modules work together,
# and what the post-link script wrote is there.
import importlib.metadata
import os
import subprocess
import sys

import docopt
import graphviz
import humanize
import markupsafe
import markupsafe._speedups
from tabulate import tabulate

assert os.getuid() == 1000
graph = graphviz.Digraph()
graph.edge("environment.yml", "image")
drawn = graph.pipe(format="svg").decode()  # needs the list of plugins that graphviz's post-link script writes
assert drawn.count("<g id=\"node") == 2, drawn
table = tabulate([[1000, humanize.naturalsize(1000)]], headers=["bytes", "size"])
assert "1.0 kB" in table, table
assert markupsafe.escape is markupsafe._speedups.escape, "the compiled part is not used"
assert str(markupsafe.escape("<a>")) == "&lt;a&gt;"
assert docopt.docopt("usage: prog [--wide]", ["--wide"]) == {"--wide": True}
for name in ("docopt", "graphviz", "humanize", "markupsafe", "tabulate"):
    assert importlib.metadata.distribution(name).read_text("INSTALLER").strip() == "pip"
again = subprocess.run([sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "nothing-like-it"], capture_output=True, text=True)
assert again.returncode != 0 and "No matching distribution" in again.stderr, again
print(f"graphviz {graphviz.__version__} drew {len(drawn)} bytes of SVG; humanize {humanize.__version__}, tabulate: {table.splitlines()[-1]!r}")
