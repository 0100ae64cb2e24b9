#!/bin/sh
# Takes the mend of one bug out after another, and lets the swarm find what comes of it. Each *.patch beside this file says in its first
# lines which bug it brings back. Prints a table: mutation, first seed that breaks a promise, which promise.
#
#   check.sh [SEEDS [WORD]]    at most SEEDS seeds each (10000), and only mutations with WORD in their name
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(git -C "$here" rev-parse --show-toplevel)
work="${CARGO_TARGET_DIR:-$root/target}/swarm-mutants"
seeds=${1:-10000}
word=${2:-}

rm -rf "$work/tree"
mkdir -p "$work/tree"
git -C "$root" archive HEAD | tar -x -C "$work/tree"
cd "$work/tree"
missed=0
for mutation in "$here"/*"$word"*.patch; do
    name=$(basename "$mutation" .patch)
    if ! patch -p1 -s --no-backup-if-mismatch <"$mutation"; then
        echo "$name: the patch does not apply: write it again for the present code" >&2
        exit 1
    fi
    # Without link-time optimisation: it would take longer than most seeds.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR="$work/target" cargo build --release --quiet -p damper-sim --bin damper-sim
    if found=$("$work/target/release/damper-sim" swarm --seeds "$seeds" --first --explain 0); then
        echo "$name: not found in $seeds seeds"
        missed=1
    else
        echo "$name: $(echo "$found" | grep '^seed' | head -n 1)"
    fi
    # Written anew, so that it is compiled anew.
    patch -p1 -s -R --no-backup-if-mismatch <"$mutation"
done
exit "$missed"
