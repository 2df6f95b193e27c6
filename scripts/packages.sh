# shellcheck shell=bash
# The Debian packages that building, the demo, the tests and the benchmark need: the one list of them. Sourced by the
# scripts beside it.

# shellcheck disable=SC2034 # used by those who source this
VS_BUILD_PACKAGES=(gcc libc6-dev meson ninja-build pkg-config libevent-dev libmbedtls-dev libssl-dev libinih-dev libmnl-dev
	libjansson-dev libxxhash-dev)
# shellcheck disable=SC2034
VS_DEMO_PACKAGES=(iproute2 iputils-ping util-linux procps jq dnsmasq-base udhcpc iperf3)
# shellcheck disable=SC2034
VS_TEST_PACKAGES=(libcmocka-dev python3 tcpdump socat nftables shellcheck iproute2 iputils-ping util-linux procps jq
	dnsmasq-base udhcpc iperf3)
# shellcheck disable=SC2034
VS_BENCH_PACKAGES=(python3 iproute2 iputils-ping util-linux iperf3 fastd openvpn openssl)

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
	# A daemon that a package brings (openvpn, fastd) is not to be started by our installing it.
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c '
		apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 ||
			{ apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; } >/dev/null' \
		sh "${missing[@]}" || echo "apt-get could not install all of: ${missing[*]}" >&2
}

# vs_quietly COMMAND...: its output is shown, the end of it, only if it fails.
vs_quietly() {
	local output

	output=$("$@" 2>&1) || { tail -n 60 <<<"$output" >&2 && return 1; }
}

# vs_build DIRECTORY [MESON-OPTION...]: configures (anew, if there are options) and builds.
vs_build() {
	local dir=$1

	shift
	if [[ ! -f $dir/build.ninja ]]; then
		vs_quietly meson setup "$dir" "$VS_ROOT" "$@" || return
	elif (($# > 0)); then
		vs_quietly meson configure "$dir" "$@" || return
	fi
	vs_quietly ninja -C "$dir"
}

# The scripts are for bash of this version on Linux; Meson needs the system's Python, not one of a virtual environment.
VS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=/usr/bin:/usr/sbin:/bin:/sbin:$PATH
