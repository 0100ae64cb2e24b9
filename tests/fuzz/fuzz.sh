#!/bin/sh
# Runs the fuzz targets, each for some seconds: fuzz.sh SECONDS [TARGET...]. It needs no nightly toolchain, for it asks for no
# sanitizer: there is no unsafe code to watch, only panics, hangs and memory. Inputs that reach new code are kept in the target folder,
# where the next run goes on from them; an input that fails is named with what to do about it.
set -eu
seconds=$1
shift
cd "$(dirname "$0")/fuzz"
root=$(cd ../../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/fuzz

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing; installing it" >&2
    cargo install cargo-fuzz --version 0.13.2 --locked
fi
# The versions that are shipped are those that are fuzzed.
cp "$root/Cargo.lock" Cargo.lock

[ $# -gt 0 ] || set -- $(cd fuzz_targets && ls | sed 's/\.rs$//')
failed=
for name in "$@"; do
    found=$target/found/$name
    mkdir -p "$found" "$target/failing/$name"
    echo "fuzzing $name for $seconds s"
    # At most 10 s for an input and 1 GiB for all.
    cargo fuzz run --sanitizer none --target-dir "$target" "$name" "$found" "corpus/$name" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$target/failing/$name/" \
        || failed="$failed $name"
done
[ -z "$failed" ] || {
    echo "error: these targets failed:$failed" >&2
    echo "  hint: make the input in $target/failing smaller with \`cargo fuzz tmin --fuzz-dir tests/fuzz/fuzz --sanitizer none TARGET FILE\`," >&2
    echo "        keep it in tests/fuzz/fuzz/corpus/TARGET, where \`cargo test\` runs it, and fix the bug" >&2
    exit 1
}
