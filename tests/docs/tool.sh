#!/bin/sh
# Prints the path of a program of crates.io at a pinned version: the installed one if it has that version, else one that is compiled into a
# folder, once.
#
#     "$(sh tests/docs/tool.sh mdbook 0.5.4 target --no-default-features)" build docs
#
# $1 is the crate, which is also the program's name, $2 the version, $3 the folder to install into; the rest goes to `cargo install`.
# Standard output is that one line; everything else goes to standard error. Two runs at a time do not disturb each other: each compiles its
# own and moves it into place.
set -eu

name=${1:?name a crate}
version=${2:?name its version}
folder=${3:?name a folder to install into, for instance target}
shift 3

found=$(command -v "$name" || true)
# As in "mdbook v0.5.4" and "lychee 0.24.2".
case $([ -n "$found" ] && "$found" --version 2>/dev/null) in
    *[!0-9.]"$version")
        printf '%s\n' "$found"
        exit 0
        ;;
esac

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
made=$folder/$name-$version
if [ ! -x "$made/bin/$name" ]; then
    echo "compiling $name $version, which takes some minutes, once" >&2
    making=$(mktemp -d "$folder/.making-$name.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    trap 'exit 130' INT TERM HUP
    # In a folder of its own: the workspace's settings and artifacts are not this program's.
    (cd "$making" && CARGO_TARGET_DIR="$making/target" cargo install --quiet --locked --version "$version" --root "$making/new" "$@" "$name" >&2) || {
        echo "error: $name $version cannot be installed" >&2
        echo "  hint: check the network, or install it yourself: cargo install --locked --version $version $name" >&2
        exit 1
    }
    mv -T "$making/new" "$made" 2>/dev/null || [ -x "$made/bin/$name" ] || {
        echo "error: $name cannot be moved to $made: remove that folder and run this again" >&2
        exit 1
    }
fi
printf '%s\n' "$made/bin/$name"
