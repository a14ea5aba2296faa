#!/bin/bash
# Runs the program that is the argument in the activated environment.
for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
	if [ -f "$script" ]; then
		. "$script"
	fi
done
exec "$1"
