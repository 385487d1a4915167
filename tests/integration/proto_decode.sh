#!/bin/bash
# What waft writes is protobuf: protoc reads it by waft.proto, and what protoc
# writes back, in its own order and lengths, reads the same to waft.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "proto_decode: $*" >&2
	exit 1
}

for seed in 1 2 3 4 5 6 7 8; do
	"$WAFT_BIN/write_batch" $seed >"$work/ours"
	protoc --proto_path="$WAFT_SOURCE/proto" --decode=waft.v1.Batch waft.proto \
		<"$work/ours" >"$work/text" || fail "seed $seed: protoc does not read it"
	# A field that protoc does not know is printed by its number.
	if grep -nE '^ *[0-9]+[: ]' "$work/text"; then
		fail "seed $seed: fields that waft.proto does not have"
	fi
	protoc --proto_path="$WAFT_SOURCE/proto" --encode=waft.v1.Batch waft.proto \
		<"$work/text" >"$work/theirs"
	"$WAFT_BIN/write_batch" --read <"$work/ours" >"$work/ours.spans"
	"$WAFT_BIN/write_batch" --read <"$work/theirs" >"$work/theirs.spans"
	[ -s "$work/ours.spans" ] || [ $seed != 1 ] || fail "seed 1 has no spans"
	cmp "$work/ours.spans" "$work/theirs.spans" ||
		fail "seed $seed: spans differ after a round through protoc"
	[ "$(grep -c '^  spans {' "$work/text")" = "$(wc -l <"$work/ours.spans")" ] ||
		fail "seed $seed: protoc sees another number of spans"
done
