#!/bin/bash
# The README's example: stands there as in docs/examples/hello.c, and does what the
# README says that it does. Arguments: the example's executable.
set -euo pipefail
fail() {
	echo "readme: $*" >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The text between ```c and ``` in the README.
sed -n '/^```c$/,/^```$/p' "$WAFT_SOURCE/README.md" | sed '1d;$d' >block.c
diff -u "$WAFT_SOURCE/docs/examples/hello.c" block.c || fail "the example is another one"

[ "$(WAFT_ENDPOINT=file:traces "$1")" = 15 ] || fail "the example doesn't print 15"
"$WAFT_BIN/waftctl" --store traces trace show last --data >shown
shape() { grep -E '^ *(✓|Output)' "$1" | sed 's/([0-9.]*ms)/(T)/'; }
shape shown >got
sed -n '/trace show last --data$/,/^```$/p' "$WAFT_SOURCE/README.md" >README.part
shape README.part >want
[ -s want ] || fail "the README shows no tree"
diff -u want got || fail "the README shows another tree"
