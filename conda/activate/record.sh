# Sources the activation scripts of the prefix in the order of their names, in one shell as conda does, and writes to the folder that is
# its first argument what is exported after each. The scripts that the other arguments name are passed over.
c2d_out=$1
shift
c2d_skip=
for c2d_name in "$@"; do
	c2d_skip="$c2d_skip/$c2d_name/"
done
set --
c2d_env=$(command -v env)
c2d_cat=$(command -v cat)
c2d_etc=$CONDA_PREFIX/etc/conda
for c2d_file in "$c2d_etc"/env_vars.d/*.json; do
	if [ -f "$c2d_file" ]; then
		"$c2d_cat" "$c2d_file" >"$c2d_out/vars-${c2d_file##*/}"
	fi
done
if [ -f "$CONDA_PREFIX/conda-meta/state" ]; then
	"$c2d_cat" "$CONDA_PREFIX/conda-meta/state" >"$c2d_out/state"
fi
c2d_names=$(
	LC_ALL=C
	for c2d_file in "$c2d_etc"/activate.d/*.sh; do
		[ -f "$c2d_file" ] && echo "${c2d_file##*/}"
	done
)
c2d_source() { . "$1"; }
c2d_n=1000
"$c2d_env" -0 >"$c2d_out/$c2d_n.env"
while IFS= read -r c2d_name <&9; do
	case "$c2d_name$c2d_skip" in "" | *"/$c2d_name/"*) continue ;; esac
	c2d_n=$((c2d_n + 1))
	echo "$c2d_name" >"$c2d_out/$c2d_n.name"
	"$c2d_cat" "$c2d_etc/activate.d/$c2d_name" >"$c2d_out/$c2d_n.text"
	c2d_source "$c2d_etc/activate.d/$c2d_name" >"$c2d_out/$c2d_n.said" 2>&1 </dev/null 9<&-
	c2d_status=$?
	set +e +u +f
	echo "$c2d_status" >"$c2d_out/$c2d_n.status"
	"$c2d_env" -0 >"$c2d_out/$c2d_n.env"
done 9<<END
$c2d_names
END
