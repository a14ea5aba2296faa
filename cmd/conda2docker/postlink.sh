#!/bin/bash
# Runs a package's post-link script, which is the argument. What it leaves for the user to read goes to the builder, not into the image.
messages=$PREFIX/.messages.txt
code=0
/bin/bash "$1" || code=$?
if [ -f "$messages" ]; then
	if [ $code != 0 ]; then
		cat "$messages" >&2
	elif [ -d /run/conda2docker/out ]; then
		cat "$messages" >/run/conda2docker/out/messages.txt
	else
		cat "$messages"
	fi
	rm -f "$messages"
fi
if [ $code != 0 ]; then
	echo "the post-link script of $PKG_NAME $PKG_VERSION ended with $code" >&2
fi
exit $code
