# shellcheck shell=bash
# The Debian packages that building, the demo, the tests and the benchmark need: the one list of them. Sourced by the
# scripts beside it.

# shellcheck disable=SC2034 # used by those who source this
VS_BUILD_PACKAGES=(gcc libc6-dev meson ninja-build pkg-config libevent-dev libmbedtls-dev libssl-dev libinih-dev libmnl-dev
	libjansson-dev libxxhash-dev libisal-dev)
# For x86-64 alone; vswitch does without it.
if [[ $(uname -m) == x86_64 ]]; then
	VS_BUILD_PACKAGES+=(libipsec-mb-dev)
fi
# shellcheck disable=SC2034
VS_DEMO_PACKAGES=(iproute2 iputils-ping util-linux procps jq dnsmasq-base udhcpc iperf3)
# shellcheck disable=SC2034
VS_TEST_PACKAGES=(libcmocka-dev python3 tcpdump tshark socat nftables shellcheck iproute2 iputils-ping util-linux procps jq
	dnsmasq-base udhcpc iperf3 valgrind golang-go golang-github-xtaci-kcp-dev)
# shellcheck disable=SC2034
VS_BENCH_PACKAGES=(python3 iproute2 iputils-ping util-linux iperf3 tcpdump linux-perf)
# What the benchmark compares with; each may be missing.
# shellcheck disable=SC2034
VS_PEER_PACKAGES=(fastd openvpn openssl tinc n2n net-tools softether-vpnserver softether-vpnclient softether-vpncmd
	wireguard-go wireguard-tools)
# ... and what it compares with on bad lines.
# shellcheck disable=SC2034
VS_LOSSY_PACKAGES=(kcptun)

vs_is_installed() {
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# vs_install PACKAGE...: installs what is missing, as root or by sudo. Where apt is not at hand, or we may not use it, says
# what is missing and goes on: what really lacks will be missed by name.
vs_install() {
	local package missing=() as_root=()

	if ! type -P dpkg-query apt-get >/dev/null; then
		echo "not Debian: make sure to have what these packages hold: $*" >&2
		return 0
	fi
	for package; do
		vs_is_installed "$package" || missing+=("$package")
	done
	((${#missing[@]} > 0)) || return 0
	if [[ $(id -u) != 0 ]]; then
		if ! type -P sudo >/dev/null; then
			echo "missing packages (install them as root): ${missing[*]}" >&2
			return 0
		fi
		as_root=(sudo)
	fi
	echo "installing: ${missing[*]}" >&2
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "$VS_APT" sh "${missing[@]}" ||
		echo "apt-get could not install all of: ${missing[*]}" >&2
}

# Installs its arguments, as root. A daemon that a package brings (openvpn, tinc) is not to be started by our installing
# it, neither now, of which a policy that denies it takes care, nor when the machine starts.
# shellcheck disable=SC2016 # for the sh that it is given to
VS_APT='
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap "rm -f $policy" EXIT
	trap "exit 130" INT TERM
	printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy"
fi
apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 ||
	{ apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; } >/dev/null || exit 1
if command -v systemctl >/dev/null; then
	dpkg -L "$@" | sed -n "s|^.*/systemd/system/\([^/@]*\.service\)$|\1|p" | sort -u |
		xargs -r systemctl --quiet disable 2>/dev/null
fi
exit 0'

# vs_quietly COMMAND...: its output is shown, the end of it, only if it fails.
vs_quietly() {
	local output

	output=$("$@" 2>&1) || { tail -n 60 <<<"$output" >&2 && return 1; }
}

# vs_configure DIRECTORY [MESON-OPTION...]: configures (anew, if there are options).
vs_configure() {
	local dir=$1

	shift
	if [[ ! -f $dir/build.ninja ]]; then
		vs_quietly meson setup "$dir" "$VS_ROOT" "$@" || return
	elif (($# > 0)); then
		vs_quietly meson configure "$dir" "$@" || return
	fi
}

# vs_build DIRECTORY [MESON-OPTION...]: configures and builds.
vs_build() {
	vs_configure "$@" && vs_quietly ninja -C "$1"
}

# The scripts are for bash of this version on Linux; Meson needs the system's Python, not one of a virtual environment.
VS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH
