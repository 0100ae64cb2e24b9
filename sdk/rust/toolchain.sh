#!/bin/sh
# Prints the absolute path of a rustc that builds for wasm32-wasip2, making sure that there is one.
#
#     RUSTC=$(sh toolchain.sh) cargo build --release --target wasm32-wasip2 --target-dir target/wasm
#
# In this order:
#   1. the rustc on the path, where it has the target's standard library already;
#   2. one that an earlier run of this script made;
#   3. `rustup target add wasm32-wasip2`;
#   4. a private toolchain made from Debian's packages, as an ordinary user and without installing
#      anything system-wide, for a machine that reaches a Debian mirror but not rustup's servers.
#      It takes about three minutes and 1.5 GB while it is made, once.
#
# With --look nothing is made: it prints which of these ways there is, a `name=value` a line: `way` (installed, cached,
# rustup, debian or none), and where there is a rustc already, `rustc`, whether it has the library for tests, and a linker.
#
# Standard output is that one line and nothing else; progress and errors go to standard error.
# Give a build its own target folder for each rustc printed: cargo does not notice when the standard
# library changes under an unchanged version.
#
# Environment: DAMPER_CACHE (where 4. is kept; default ${XDG_CACHE_HOME:-~/.cache}/damper),
# DAMPER_DEBIAN_MIRROR and DAMPER_DEBIAN_SECURITY_MIRROR (default: what apt is set to, else Debian's own),
# RUSTC (the rustc to look at first).
set -eu

TARGET=wasm32-wasip2
# Raise the revision whenever the steps below give something else; old ones are left for old programs.
REVISION=debian-r2
RUSTUP_TIMEOUT_S=180

say() { printf '%s\n' "$*" >&2; }

# fail WHAT WHAT-TO-DO: explain, and end.
fail() {
    say "error: $1"
    say "  hint: $2"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Whether a file matches the pattern given unquoted.
any() { [ -e "$1" ]; }

manual="install the target yourself (\`rustup target add $TARGET\`, or your distribution's package of Rust's \
$TARGET standard library) and run this again"

# --- 1. the rustc that is there ------------------------------------------------------------------

# Prints the rustc's path and succeeds if it has the target's standard library.
ready_rustc() {
    candidate=$(command -v "${RUSTC:-rustc}" 2>/dev/null) || return 1
    libdir=$("$candidate" --print target-libdir --target "$TARGET" 2>/dev/null) || return 1
    any "$libdir"/libstd-*.rlib || return 1
    # rustup's proxy picks a toolchain by folder and environment; the file behind it stays what was looked at.
    sysroot=$("$candidate" --print sysroot 2>/dev/null) || return 1
    [ -x "$sysroot/bin/rustc" ] && candidate=$sysroot/bin/rustc
    case $candidate in
        /*) printf '%s\n' "$candidate" ;;
        *) printf '%s/%s\n' "$(pwd)" "$candidate" ;;
    esac
}

# --- 2. the one in the cache ---------------------------------------------------------------------

# Prints nothing; succeeds if the toolchain in folder $1 is whole.
whole() {
    [ -x "$1/bin/rustc" ] && [ -x "$1/root/usr/bin/rustc" ] || return 1
    any "$1/root/usr/lib/rustlib/$TARGET/lib"/libstd-*.rlib || return 1
    any "$1/root/usr/lib/rustlib/$TARGET/lib/self-contained/crt1-command.o" || return 1
    for linkers in "$1"/root/usr/lib/rustlib/*/bin; do
        [ -x "$linkers/rust-lld" ] && [ -x "$linkers/wasm-component-ld" ] && [ -x "$linkers/gcc-ld/wasm-ld" ] && return 0
    done
    return 1
}

# --- 3. rustup -----------------------------------------------------------------------------------

add_with_rustup() {
    have rustup || return 1
    say "adding the Rust target $TARGET (rustup target add)"
    if have timeout; then
        timeout "$RUSTUP_TIMEOUT_S" rustup target add "$TARGET" >&2 9>&-
    else
        rustup target add "$TARGET" >&2 9>&-
    fi
}

# --- 4. Debian's packages ------------------------------------------------------------------------

# check_means: what the way below needs from the machine.
check_means() {
    for tool in apt-get dpkg-deb dpkg; do
        have "$tool" || fail "the Rust target $TARGET is not installed and rustup could not add it ($tool is missing, so it cannot be built from Debian's packages either)" "$manual"
    done
    have cargo || fail "no cargo on the path" "install Rust from https://rustup.rs, then run this again"
    have cc || fail "no C compiler on the path, which cargo needs to link build scripts" "install one (Debian: apt install gcc libc6-dev), then run this again"
    case $(dpkg --print-architecture) in
        amd64) triple=x86_64-unknown-linux-gnu multiarch=x86_64-linux-gnu ;;
        arm64) triple=aarch64-unknown-linux-gnu multiarch=aarch64-linux-gnu ;;
        *) fail "the target cannot be built from Debian's packages on $(dpkg --print-architecture)" "$manual" ;;
    esac
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -r "$keyring" ] || fail "Debian's archive keys are not in $keyring" "install the package debian-archive-keyring, or $manual"
    linkers=$(find_linkers) || fail "no Rust toolchain here has both rust-lld and wasm-component-ld" "install Rust 1.95 or newer from https://rustup.rs, or $manual"
}

# Prints the folder of a rustup toolchain's own linkers.
find_linkers() {
    for toolchain in "$(rustc --print sysroot 2>/dev/null || true)" "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*; do
        bin=$toolchain/lib/rustlib/$triple/bin
        if [ -x "$bin/rust-lld" ] && [ -x "$bin/wasm-component-ld" ] && [ -x "$bin/gcc-ld/wasm-ld" ]; then
            printf '%s\n' "$bin"
            return 0
        fi
    done
    return 1
}

# run WHAT HINT COMMAND...: run it into the log; on failure show the log's end.
run() {
    what=$1 hint=$2
    shift 2
    # The lock's descriptor stays ours: a daemon that a command leaves behind must not hold it.
    if ! "$@" >>"$log" 2>&1 9>&-; then
        say "--- the last lines of its output:"
        tail -n 20 "$log" >&2
        fail "$what failed" "$hint"
    fi
}

# Prints the first of apt's own repositories whose address ends in $1, else $2.
mirror_of() {
    (apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 2>/dev/null || true) |
        sed -n "s|^\(http.*/$1\)/*\$|\1|p" | sort -u | head -n 1 | grep . || printf '%s\n' "$2"
}

# prepare_apt: a private apt: its own sources, lists, cache and (empty) state of what is installed.
prepare_apt() {
    main=${DAMPER_DEBIAN_MIRROR:-$(mirror_of debian http://deb.debian.org/debian)}
    security=${DAMPER_DEBIAN_SECURITY_MIRROR:-$(mirror_of debian-security http://deb.debian.org/debian-security)}
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/none" "$work/debs"
    : >"$work/apt/status"
    # bookworm's packages run on every later release's glibc; wasi-libc is architecture-free, so a newer one does no harm.
    cat >"$work/apt/sources.list" <<END
deb [signed-by=$keyring] $main bookworm main
deb [signed-by=$keyring] $security bookworm-security main
deb [signed-by=$keyring] $main forky main
END
    cat >"$work/apt/preferences" <<END
Package: *
Pin: release n=forky
Pin-Priority: 50

Package: wasi-libc
Pin: release n=forky
Pin-Priority: 900
END
    cat >"$work/apt/apt.conf" <<END
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "$work/apt/none";
Dir::Etc::preferences "$work/apt/preferences";
Dir::Etc::preferencesparts "$work/apt/none";
Dir::State "$work/apt";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "$(id -un)";
APT::Update::Post-Invoke-Success "";
APT::Update::Post-Invoke "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
END
}

private_apt() { (cd "$work/debs" && APT_CONFIG=$work/apt/apt.conf apt-get -q "$@"); }

unpack_all() {
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$new/root" || return 1
    done
    rm -f "$work"/debs/*.deb
}

# fetch PACKAGE...: download and unpack, without installing.
fetch() {
    run "downloading $*" "check the network and DAMPER_DEBIAN_MIRROR, or $manual" private_apt download "$@"
    run "unpacking $*" "check the free disk space below $work" unpack_all
}

# The Debian release of Rust that is on offer, as `1.96`: what rustc-web itself depends on is versioned by it.
rust_version() {
    APT_CONFIG=$work/apt/apt.conf apt-cache show --no-all-versions rustc-web 2>>"$log" |
        sed -n 's/^Version: \([0-9]*\.[0-9]*\)\..*/\1/p' | head -n 1 | grep .
}

write_wrapper() {
    mkdir -p "$new/bin"
    cat >"$new/bin/rustc" <<END
#!/bin/sh
# Debian's rustc, run from where it was unpacked. Made by Damper's toolchain.sh.
home=\${0%/*}/..
LD_LIBRARY_PATH="\$home/root/usr/lib/$multiarch\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH
exec "\$home/root/usr/bin/rustc" "\$@"
END
    chmod +x "$new/bin/rustc"
}

# runs_here: whether the unpacked rustc starts; a slim machine may lack libraries that LLVM needs.
runs_here() { "$new/bin/rustc" -vV >>"$log" 2>&1; }

get_compiler() {
    version=$(rust_version) || fail "the Debian mirror offers no rustc-web" "check DAMPER_DEBIAN_MIRROR and DAMPER_DEBIAN_SECURITY_MIRROR, or $manual"
    llvm=$(APT_CONFIG=$work/apt/apt.conf apt-cache depends "libstd-rust-web-$version" 2>>"$log" | sed -n 's/.*Depends: \(libllvm[0-9]*\)$/\1/p' | head -n 1)
    fetch rustc-web libstd-rust-web-dev "libstd-rust-web-$version" rust-web-src "${llvm:-libllvm22}" libz3-4 libedit2 wasi-libc
    write_wrapper
    runs_here && return 0
    fetch libbsd0 libmd0 libffi8 libtinfo6 libxml2 libicu72 liblzma5 libzstd1 zlib1g libstdc++6 libgcc-s1
    runs_here && return 0
    tail -n 5 "$log" >&2
    fail "Debian's rustc does not start on this machine" "$manual"
}

build_std() {
    library=$(find "$new/root/usr/src" -maxdepth 2 -type d -path '*/rustc-*/library' | head -n 1)
    [ -n "$library" ] || fail "the package rust-web-src has no standard library in it" "$manual"
    mkdir -p "$work/std/src"
    : >"$work/std/src/lib.rs"
    # Outside any workspace that the cache folder may happen to lie in.
    printf '[package]\nname = "damper-empty"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$work/std/Cargo.toml"
    # Bitcode, so that a provider built with `lto` links.
    run "building the standard library" "check that cargo reaches crates.io (or its mirror), or $manual" env \
        RUSTC="$new/bin/rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_INCREMENTAL=0 \
        RUSTC_WRAPPER= RUSTC_WORKSPACE_WRAPPER= CARGO_BUILD_RUSTC_WRAPPER= \
        __CARGO_TESTS_ONLY_SRC_ROOT="$library" \
        sh -c 'unset CARGO_ENCODED_RUSTFLAGS; cd "$1" && exec cargo build --release --target "$2" --target-dir "$1/target" -Zbuild-std=std,panic_abort,panic_unwind,test' \
        build-std "$work/std" "$TARGET"
}

assemble() {
    libraries=$new/root/usr/lib/rustlib/$TARGET/lib
    mkdir -p "$libraries/self-contained" "$new/root/usr/lib/rustlib/$triple/bin"
    for rlib in "$work/std/target/$TARGET/release/deps"/*.rlib; do
        case $rlib in
            */libdamper_empty-*) ;;
            *) cp "$rlib" "$libraries/" ;;
        esac
    done
    cp "$new/root/usr/lib/$TARGET"/*.a "$new/root/usr/lib/$TARGET"/*.o "$libraries/self-contained/"
    # Links, not copies: rust-lld finds its LLVM beside the toolchain that it belongs to.
    for linker in rust-lld gcc-ld wasm-component-ld; do
        rm -rf "$new/root/usr/lib/rustlib/$triple/bin/$linker"
        ln -s "$linkers/$linker" "$new/root/usr/lib/rustlib/$triple/bin/$linker"
    done
    # What only the making needed.
    rm -rf "$new/root/usr/src" "$new/root/usr/share" "$new/root/usr/lib/$TARGET"
}

# A component from a program that needs the standard library, before anyone relies on it.
try_out() {
    printf 'fn main() { println!("{:?}", std::env::args().collect::<Vec<_>>()); }\n' >"$work/try.rs"
    run "building a first component" "$manual" env RUSTFLAGS= "$new/bin/rustc" --target "$TARGET" -O -Clto -o "$work/try.wasm" "$work/try.rs"
}

make_from_packages() {
    check_means
    work=$base/.making-$REVISION.$$
    new=$work/toolchain
    log=$work/log
    mkdir -p "$work" "$new/root" || fail "cannot write to $base" "set DAMPER_CACHE to a folder of yours with 2 GB free"
    : >"$log"
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    say "rustup could not add $TARGET; building a private toolchain from Debian's packages in $made (about three minutes, once)"
    say "[1/5] reading Debian's package lists"
    prepare_apt
    run "reading Debian's package lists" "check the network and DAMPER_DEBIAN_MIRROR, or $manual" private_apt update
    say "[2/5] downloading and unpacking Rust and wasi-libc"
    get_compiler
    say "[3/5] building the standard library for $TARGET"
    build_std
    say "[4/5] putting the toolchain together"
    assemble
    say "[5/5] testing the toolchain"
    try_out
    whole "$new" || fail "the new toolchain is incomplete" "run this again; if it fails again, $manual"
    # A broken one from before goes only now that there is a whole one to take its place.
    rm -rf "$made"
    mv "$new" "$made" || fail "cannot move the toolchain to $made" "check the permissions of $base"
}

# --- in order ------------------------------------------------------------------------------------

# has_linkers RUSTC: whether what links a component is where this rustc looks for it.
has_linkers() {
    for bin in "$("$1" --print sysroot 2>/dev/null)"/lib/rustlib/*/bin; do
        [ -x "$bin/rust-lld" ] && [ -x "$bin/wasm-component-ld" ] && return 0
    done
    have wasm-component-ld && { have wasm-ld || have rust-lld || have lld; }
}

# look_at WAY RUSTC
look_at() {
    tests=no linker=no
    any "$("$2" --print target-libdir --target "$TARGET" 2>/dev/null)"/libtest-*.rlib && tests=yes
    has_linkers "$2" && linker=yes
    printf 'way=%s\nrustc=%s\ntests=%s\nlinker=%s\n' "$1" "$2" "$tests" "$linker"
}

look() {
    if found=$(ready_rustc); then
        look_at installed "$found"
    elif whole "$made"; then
        look_at cached "$made/bin/rustc"
    elif have rustup; then
        echo way=rustup
    elif have apt-get && have dpkg-deb && have cc; then
        echo way=debian
    else
        echo way=none
    fi
}

[ "${1:-}" = --look ] || { ready_rustc && exit 0; }

cache=${DAMPER_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set; set DAMPER_CACHE}/.cache}/damper}
case $cache in
    /*) ;;
    *) cache=$(pwd)/$cache ;;
esac
base=$cache/toolchain
made=$base/$REVISION
if [ "${1:-}" = --look ]; then
    look
    exit 0
fi
if whole "$made"; then
    printf '%s\n' "$made/bin/rustc"
    exit 0
fi

mkdir -p "$base" || fail "cannot write to $base" "set DAMPER_CACHE to a folder of yours with 2 GB free"
# One at a time: rustup and the steps above both fail when run twice at once. The kernel lets go of the lock
# when a run is killed. (Where there is no flock there is no apt-get either, and rustup goes unprotected.)
if have flock; then
    exec 9>"$base/lock"
    if ! flock -n 9; then
        say "another run is preparing the toolchain; waiting for it"
        flock 9
    fi
    ready_rustc && exit 0
    if whole "$made"; then
        printf '%s\n' "$made/bin/rustc"
        exit 0
    fi
    # Whoever made these is gone, for the lock is ours.
    rm -rf "$base"/.making-*
fi

if add_with_rustup && ready_rustc; then
    exit 0
fi
[ ! -e "$made" ] || say "the toolchain in $made is incomplete; building it again"
make_from_packages
printf '%s\n' "$made/bin/rustc"
