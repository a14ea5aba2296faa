#!/bin/bash
# Looks whether every ELF file of an environment finds its libraries, where there is no Python to do it. Arguments and output are those of
# verify.py; the file of modules is not read.
shopt -s globstar dotglob nullglob
prefix=$1 loader=$2 out=$4
files=0
{
	for f in "$prefix"/**; do
		[ -f "$f" ] && [ ! -L "$f" ] || continue
		case $f in */sysroot/*) continue ;; esac
		LC_ALL=C IFS= read -r -N 4 magic <"$f"
		[ "$magic" = $'\x7fELF' ] || continue
		"$loader" --verify "$f" >/dev/null 2>&1
		case $? in 0 | 2) ;; *) continue ;; esac
		files=$((files + 1))
		said=$(LD_TRACE_LOADED_OBJECTS=1 "$loader" "$f" 2>&1) # as ldd asks it: nothing of the file is run
		code=$?
		lines=$(while IFS= read -r line; do case $line in *"not found"*) printf '\t%s\n' "${line#$'\t'}" ;; esac done <<<"$said")
		if [ $code != 0 ] && [ -z "$lines" ]; then
			lines=$'\t'${said##*$'\n'}
		fi
		[ -z "$lines" ] || printf 'elf %s\n%s\n' "$f" "$lines"
	done
	printf 'count elf %d\n' $files
} >"$out"
