# shellcheck shell=bash
# What the scripts share; sourced, not run.
# Sets root (the project) and target (where cargo builds and where downloads are kept).

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
target=$CARGO_TARGET_DIR
# What belongs to the build but is not made by cargo: unpacked mail servers and watchers.
mta_dir=$target/mta

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

apt_updated=
apt_update_once() {
    [ -z "$apt_updated" ] || return 0
    apt-get update -qq || die "apt-get update failed: is there a network?"
    apt_updated=1
}

# install_missing COMMAND:PACKAGE...: installs the packages whose command is not there.
# --no-remove, because no test is worth a package that the machine's owner chose.
install_missing() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

install_packages() {
    local missing=("$@")
    is_root || die "missing: ${missing[*]}; run scripts/setup as root, or install them"
    command -v apt-get >/dev/null || die "missing: ${missing[*]}; no apt-get here, install them by hand"
    say "installing: ${missing[*]}"
    apt_update_once
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends \
        "${missing[@]}" </dev/null >/dev/null || die "apt-get could not install: ${missing[*]}"
}

install_build_tools() {
    # rustup's default place is not in everybody's PATH (sudo).
    [ -d "$HOME/.cargo/bin" ] && PATH=$HOME/.cargo/bin:$PATH
    install_missing cc:gcc
    # Without recommended packages gcc comes alone: what programs are linked with is another one.
    echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || install_packages libc6-dev
    command -v cargo >/dev/null ||
        die "cargo is missing; install Rust (https://rustup.rs), at least $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")"
}

install_lab_tools() {
    install_missing ip:iproute2 nft:nftables ethtool:ethtool sysctl:procps python3:python3 \
        unshare:util-linux dpkg-deb:dpkg
    # ip knows protocols by name only with it.
    [ -e /etc/protocols ] || install_packages netbase
}

install_test_tools() {
    install_missing tshark:tshark dumpcap:wireshark-common nmap:nmap swaks:swaks perl:perl \
        openssl:openssl telnet:inetutils-telnet
    # swaks speaks IPv6 only with it.
    perl -MIO::Socket::INET6 -e 1 2>/dev/null || install_packages libio-socket-inet6-perl
    # The AUTH of Postfix and sendmail, which lie over this machine's root.
    compgen -G '/usr/lib/*/sasl2/libplain.so' >/dev/null || install_packages libsasl2-modules
}

# unpack_package PACKAGE: unpacks a server, and the libraries that are missing here, into
# $mta_dir/PACKAGE. Debian's mail servers exclude each other as packages, and installing a server starts
# it: nothing of that happens here, the lab lays the unpacked tree over the root of a private mount
# namespace (tests/lab/overlay.py).
unpack_package() {
    local package=$1 into=$mta_dir/$1 work uri
    [ ! -e "$into/.complete" ] || return 0
    command -v apt-get >/dev/null || die "no apt-get here to fetch $package with"
    say "unpacking: $package"
    apt_update_once
    rm -rf "$into"
    mkdir -p "$into"
    work=$(mktemp -d "$mta_dir/fetch.XXXXXX")
    # apt says which packages are needed beside those that are installed; it changes nothing.
    local names=()
    while IFS= read -r uri; do
        names+=("$(sed 's/_/ /g; s/%3a/:/g' <<<"$uri" | awk '{print $1 "=" $2}')")
    done < <(apt-get install --print-uris -y --no-install-recommends "$package" </dev/null |
        sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p")
    # _apt, the user apt downloads as, cannot write to root's directories; that is only a warning.
    if [ ${#names[@]} -gt 0 ]; then
        (cd "$work" && apt-get download -qq "${names[@]}" 2>/dev/null) || {
            rm -rf "$work"
            die "could not download ${names[*]}"
        }
        for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$into"; done
    fi
    rm -rf "$work"
    # With a merged /usr, a directory lib laid over the root would hide the link /lib.
    local dir
    for dir in bin sbin lib; do
        if [ -L "/$dir" ] && [ -d "$into/$dir" ] && [ ! -L "$into/$dir" ]; then
            mkdir -p "$into/usr/$dir"
            cp -a "$into/$dir/." "$into/usr/$dir/"
            rm -rf "${into:?}/$dir"
        fi
    done
    : >"$into/.complete"
}

# shellcheck disable=SC2034 # used by those who source this
all_mtas=(postfix exim4-daemon-light opensmtpd sendmail-bin)
# What reads logs, metrics and man pages.
# shellcheck disable=SC2034
all_watchers=(prometheus rsyslog mandoc)

build_release() {
    install_build_tools
    say "building"
    (cd "$root" && cargo build --release --quiet) || die "the build failed"
}
