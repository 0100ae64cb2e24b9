#!/bin/sh
# Prints the absolute path of a cfn-lint that is installed into a folder of its own, once.
#
#     "$(sh tests/templates/cfn-lint.sh target)" template.yaml
#
# $1 is the folder to put it in. Two at a time do not disturb each other: each installs its own and moves it into place, and whoever
# comes second throws its own away. Standard output is that one line; what is missing is told on standard error.
set -eu

VERSION=1.58.0
folder=${1:?name a folder to install into, for instance target}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
made=$folder/cfn-lint-$VERSION

fail() {
    printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit 1
}

if [ ! -x "$made/cfn-lint" ]; then
    command -v python3 >/dev/null 2>&1 || fail "cfn-lint needs Python, and there is no python3" "install Python 3.10 or newer"
    making=$(mktemp -d "$folder/.making-cfn-lint.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    trap 'exit 130' INT TERM HUP
    # A folder, not a virtual environment: nothing in it knows where it was made, so that it can be moved whole.
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$making/new/site" "cfn-lint==$VERSION" >&2 ||
        fail "pip could not install cfn-lint $VERSION" "check the network, and that Python has pip (Debian: apt install python3-pip)"
    cat >"$making/new/cfn-lint" <<'END'
#!/bin/sh
home=$(cd "${0%/*}" && pwd)
PYTHONPATH="$home/site" exec python3 "$home/site/bin/cfn-lint" "$@"
END
    chmod +x "$making/new/cfn-lint"
    mv -T "$making/new" "$made" 2>/dev/null || [ -x "$made/cfn-lint" ] || fail "cfn-lint could not be moved to $made" "remove that and run this again"
fi
printf '%s\n' "$made/cfn-lint"
