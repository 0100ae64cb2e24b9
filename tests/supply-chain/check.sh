#!/bin/sh
# Checks all dependencies with cargo-deny: advisories, bans, licences, sources; see .deny.toml.
#
#     sh tests/supply-chain/check.sh target
#
# $1 is the folder for what this needs. Advisories come from the RustSec database as it is today; where that cannot be fetched, from the
# snapshot in this folder, which is said with its date. ADVISORIES=snapshot asks no network for them.
set -eu

folder=${1:?name a folder for what this needs, for instance target}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)/supply-chain
mkdir -p "$folder"
deny=$(sh "$here/cargo-deny.sh" "$folder")
cd "$here/../.."

# Nobody is there to type a password, and a connection that hangs is given up on.
export GIT_TERMINAL_PROMPT=0 GIT_HTTP_LOW_SPEED_LIMIT=1000 GIT_HTTP_LOW_SPEED_TIME=20

# Makes a repository of the snapshot, of which cargo-deny then clones as it would of the database itself.
use_snapshot() {
    snapshot=${SNAPSHOT:-$(ls "$here"/advisory-db-*.tar.gz)}
    date=$(basename "$snapshot" .tar.gz | cut -d - -f 3-)
    repository=$(mktemp -d "$folder/.snapshot.XXXXXX")
    trap 'rm -rf "$repository"' EXIT
    trap 'exit 130' INT TERM HUP
    tar -xzf "$snapshot" -C "$repository"
    as_nobody="-c user.name=snapshot -c user.email=snapshot@invalid -c commit.gpgSign=false -c core.hooksPath=/dev/null"
    # shellcheck disable=SC2086 # Several arguments.
    git -C "$repository" $as_nobody init --quiet --initial-branch main
    git -C "$repository" add --all
    # shellcheck disable=SC2086
    GIT_AUTHOR_DATE="${date}T00:00:00Z" GIT_COMMITTER_DATE="${date}T00:00:00Z" \
        git -C "$repository" $as_nobody commit --quiet --message "The advisory database of $date"
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$repository.insteadOf" GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db
    export DAMPER_ADVISORIES="$repository/.git/clone"
}

export DAMPER_ADVISORIES="$folder/advisories"
if [ "${ADVISORIES:-}" != snapshot ] && "$deny" fetch db >"$folder/fetch.log" 2>&1; then
    echo "advisories: the RustSec database as it is now"
else
    use_snapshot
    echo "advisories: the snapshot of $date (what was published since is not checked: the database was not fetched)"
fi
"$deny" --locked check advisories bans licenses sources
