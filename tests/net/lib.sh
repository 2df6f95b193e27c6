# shellcheck shell=bash
# The harness of the network tests: real programs, real TAP devices, namespaces of our own. A test sources this file
# first. The script is then run again inside fresh mount, network and process namespaces (and, without root, a user
# namespace), so that nothing it does is seen outside, nothing it finds outside matters, and its end, however it comes,
# takes all of its processes and devices along.
#
#      pc1             pc2             pcN          one namespace a PC; `up0` is its uplink
#       |up0            |up0            |up0        10.1.N.2/24  2001:db8:N::2/64
#       |               |               |           a veth pair, or the link emulator (`line`)
#  +----+pc1------------+pc2------------+pcN--+     .1 and ::1
#  |                   net                    |     "the Internet": a router that carries packets between a PC and the
#  +--------------------+srv------------------+     server, never from PC to PC
#                       |                           192.0.2.254/24  2001:db8:ff::fe/64
#                       |eth0                       192.0.2.1/24    2001:db8:ff::1/64
#                    server
#
# On the virtual LAN, PC number N has 172.20.0.N/24 and fd20::N/64, unless a test says otherwise.
#
# Environment: VS_BUILD, the build directory (default: build/ of this tree); VS_SLOW, a factor for all time limits
# (sanitizers); VS_WORKERS, the number of the server's workers (default: the program's own). A test passes with exit
# status 0, fails with 1, and is skipped with 77 and a reason. No test is decided by how fast the machine is: limits
# only bound the waiting. The one exception says so in its header.

set -euo pipefail
shopt -s inherit_errexit

VS_NET_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VS_BUILD=$(realpath "${VS_BUILD:-$VS_NET_DIR/../../build}")
VS_SLOW=${VS_SLOW:-1}
export VS_BUILD VS_SLOW
export LC_ALL=C

VSWITCHS=$VS_BUILD/vswitchs/vswitchs
VSWITCHC=$VS_BUILD/vswitchc/vswitchc
LINKEMU=$VS_BUILD/tests/linkemu

SERVER_IP=192.0.2.1
SERVER_IP6=2001:db8:ff::1
SERVER_PORT=7000
VS_PING_WAIT=0.$((VS_SLOW < 3 ? 3 * VS_SLOW : 9)) # seconds that one ping is waited for

skip() {
	echo "1..0 # SKIP $*"
	exit 77
}

# --- A place of our own -----------------------------------------------------------------------------------------------

# Both must be there in the private namespaces: found out before the test starts, so that a skip can say what is missing.
vs_enter() {
	local unshare=(unshare --mount --net --pid --fork --kill-child --mount-proc)
	local tool

	for tool in ip unshare nsenter jq ping; do
		type -P "$tool" >/dev/null || skip "$tool is not installed"
	done
	for tool in "$VSWITCHS" "$VSWITCHC"; do
		[[ -x $tool ]] || skip "$tool is not built"
	done
	[[ $(id -u) == 0 ]] || unshare+=(--user --map-root-user)
	"${unshare[@]}" true 2>/dev/null || skip "this machine does not let us make namespaces"
	[[ -r /dev/net/tun && -w /dev/net/tun ]] || skip "/dev/net/tun is missing or may not be opened"
	VS_NET_INSIDE=$$ exec "${unshare[@]}" "$BASH" "$0" "$@"
}

if [[ ! ${VS_NET_INSIDE:-} ]]; then
	vs_enter "$@"
fi

mount -t tmpfs -o mode=755 tmpfs /run
RUN=/run/vswitch-test
mkdir -p /run/netns "$RUN"

declare -A VS_PID=()    # process id by name, of all that runs in the background
declare -A VS_PUBLIC=() # public key by name
VS_CHECKS=0
VS_PCS=0
VS_DONE=

vs_report_failure() {
	local file

	echo "# processes: $(ps -eo pid,args 2>/dev/null | tail -n +2 | tr '\n' ';' | cut -c1-1500)"
	for file in "$RUN"/*.ini "$RUN"/*.log; do
		[[ -s $file ]] || continue
		echo "# --- ${file##*/} (last lines)"
		tail -n 40 "$file" | sed 's/^/# /; s/\(private_key = \).*/\1(hidden)/'
	done
}

vs_cleanup() {
	local status=$? name

	trap - EXIT
	set +e
	if [[ $status != 0 && $status != 77 ]]; then
		[[ $VS_DONE ]] || echo "not ok $((VS_CHECKS + 1)) - ended early with status $status"
		vs_report_failure
	fi
	for name in "${!VS_PID[@]}"; do
		kill -KILL "${VS_PID[$name]}" 2>/dev/null
	done
	wait 2>/dev/null
	exit "$status"
}
trap vs_cleanup EXIT
trap 'exit 130' INT TERM

# --- Results ----------------------------------------------------------------------------------------------------------

ok() {
	VS_CHECKS=$((VS_CHECKS + 1))
	echo "ok $VS_CHECKS - $*"
}

fail() {
	VS_CHECKS=$((VS_CHECKS + 1))
	echo "not ok $VS_CHECKS - $*"
	VS_DONE=1
	exit 1
}

# check WHAT COMMAND...: the command succeeds.
check() {
	local what=$1 output

	shift
	if output=$("$@" 2>&1); then
		ok "$what"
	else
		[[ ! $output ]] || echo "# ${output//$'\n'/$'\n# '}"
		fail "$what ($*)"
	fi
}

# check_not WHAT COMMAND...: the command fails.
check_not() {
	local what=$1

	shift
	if "$@" >/dev/null 2>&1; then
		fail "$what ($*)"
	fi
	ok "$what"
}

# wait_until SECONDS COMMAND...: polls until the command succeeds; 1 if it does not in time.
wait_until() {
	local deadline=$((SECONDS + $1 * VS_SLOW + 1))

	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# wait_for WHAT SECONDS COMMAND...: the command succeeds sooner or later.
wait_for() {
	local what=$1 seconds=$2

	shift 2
	wait_until "$seconds" "$@" || fail "$what within $seconds s ($*)"
	ok "$what"
}

usec() {
	local now=$EPOCHREALTIME
	echo "${now/./}"
}

need() {
	local tool

	for tool; do
		type -P "$tool" >/dev/null || skip "$tool is not installed"
	done
}

# --- Namespaces and lines ---------------------------------------------------------------------------------------------

in_ns() {
	local ns=$1

	shift
	nsenter --net="/run/netns/$ns" -- "$@"
}

# background NAME NS COMMAND...: runs it in a namespace, with its output in NAME.log.
background() {
	local name=$1 ns=$2

	shift 2
	nsenter --net="/run/netns/$ns" -- "$@" >>"$RUN/$name.log" 2>&1 </dev/null &
	VS_PID[$name]=$!
}

running() {
	[[ ${VS_PID[$1]:-} ]] && kill -0 "${VS_PID[$1]}" 2>/dev/null
}

gone() {
	! running "$1"
}

# stop NAME [SIGNAL]: ends a background process and waits for it; returns its exit status.
stop() {
	local pid=${VS_PID[$1]:-} status=0

	[[ $pid ]] || return 0
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	wait_until 20 gone "$1" || fail "$1 ends after SIG${2:-TERM}"
	wait "$pid" 2>/dev/null || status=$?
	unset "VS_PID[$1]"
	return "$status"
}

# set_sysctl NS PATH VALUE
set_sysctl() {
	in_ns "$1" tee "/proc/sys/$2" <<<"$3" >/dev/null
}

add_ns() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	# No wait for duplicates of the IPv6 addresses that we give.
	set_sysctl "$1" net/ipv6/conf/all/accept_dad 0
	set_sysctl "$1" net/ipv6/conf/default/accept_dad 0
}

# add_addresses NS DEVICE ADDRESS...
add_addresses() {
	local ns=$1 dev=$2 address

	shift 2
	for address; do
		case $address in
		*:*) ip -n "$ns" addr add "$address" dev "$dev" nodad ;;
		*) ip -n "$ns" addr add "$address" dev "$dev" ;;
		esac
	done
}

add_server_ns() {
	add_ns net
	add_ns server
	ip -n net link add srv type veth peer name eth0 netns server
	ip -n net link set srv up
	ip -n server link set eth0 up
	add_addresses net srv 192.0.2.254/24 2001:db8:ff::fe/64
	add_addresses server eth0 $SERVER_IP/24 $SERVER_IP6/64
	ip -n server route add default via 192.0.2.254
	ip -n server -6 route add default via 2001:db8:ff::fe
	set_sysctl net net/ipv4/ip_forward 1
	set_sysctl net net/ipv6/conf/all/forwarding 1
	ip -n net -6 rule add to 2001:db8:ff::/48 lookup main pref 900
}

# The router's side of a PC: addresses, and nothing but the server beyond it.
join_uplink() {
	local n=$1 pc=pc$1 family

	ip -n net link set "$pc" up
	ip -n "$pc" link set up0 up
	add_addresses net "$pc" "10.1.$n.1/24" "2001:db8:$n::1/64"
	add_addresses "$pc" up0 "10.1.$n.2/24" "2001:db8:$n::2/64"
	ip -n "$pc" route add default via "10.1.$n.1"
	ip -n "$pc" -6 route add default via "2001:db8:$n::1"
	for family in -4 -6; do
		ip -n net "$family" rule del iif "$pc" pref "$((1000 + n))" 2>/dev/null || true
	done
	ip -n net -4 rule add iif "$pc" to 10.1.0.0/16 pref "$((1000 + n))" unreachable
	ip -n net -6 rule add iif "$pc" to 2001:db8::/32 pref "$((1000 + n))" unreachable
}

# make_net N: the server's namespace and those of pc1 ... pcN.
make_net() {
	local n

	add_server_ns
	for ((n = 1; n <= $1; n++)); do
		add_ns "pc$n"
		ip -n net link add "pc$n" type veth peer name up0 netns "pc$n"
		join_uplink "$n"
	done
	VS_PCS=$1
}

# line PC [OPTION...]: puts the link emulator in place of the PC's uplink; "up" is the way to the server.
line() {
	local pc=$1 name=line-$1

	[[ -x $LINKEMU ]] || skip "$LINKEMU is not built"
	shift
	ip -n net link del "$pc"
	mkfifo "$RUN/$name.commands"
	# Open for reading and writing: it neither blocks nor ends while nobody writes.
	"$LINKEMU" --a "$pc:up0" --b "net:$pc" "$@" <>"$RUN/$name.commands" >>"$RUN/$name.log" 2>&1 &
	VS_PID[$name]=$!
	wait_until 10 grep -q ready "$RUN/$name.log" || fail "the link emulator of $pc starts"
	join_uplink "${pc#pc}"
}

# line_set PC SETTING...: changes the line while it runs, such as: line_set pc1 loss=5% up-delay=80ms
line_set() {
	local pc=$1

	shift
	echo "$*" >"$RUN/line-$pc.commands"
}

line_reports() {
	grep -c seconds "$RUN/$1.log" || true
}

line_has_reported() {
	(($(line_reports "$1") > $2))
}

# line_stat PC .up.lost: a number of the emulator's statistics.
line_stat() {
	local name=line-$1 before

	before=$(line_reports "$name")
	kill -USR1 "${VS_PID[$name]}"
	wait_until 5 line_has_reported "$name" "$before"
	grep seconds "$RUN/$name.log" | tail -n 1 | jq "$2"
}

# --- The programs -----------------------------------------------------------------------------------------------------

# make_key NAME: a private key in keys/NAME; its public key in VS_PUBLIC[NAME].
make_key() {
	local pair

	mkdir -p "$RUN/keys"
	pair=$("$VSWITCHS" keygen)
	sed -n 's/^private_key = //p' <<<"$pair" >"$RUN/keys/$1"
	VS_PUBLIC[$1]=$(sed -n 's/^; public_key = //p' <<<"$pair")
	[[ ${VS_PUBLIC[$1]} ]] || fail "keygen prints a pair of keys"
}

# put_keys SECTION NAMEREF: a section of an INI file; a value of "-" leaves the key out.
put_keys() {
	local -n vs_keys=$2
	local key

	echo "[$1]"
	for key in "${!vs_keys[@]}"; do
		[[ ${vs_keys[$key]} == - ]] || echo "$key = ${vs_keys[$key]}"
	done
}

# server_ini [KEY=VALUE...] -- [NAME[:KEY=VALUE;...]...]: writes server.ini with [common] keys and a [port] for each
# member. Whatever else belongs into it, the test appends.
server_ini() {
	local member name

	[[ ${VS_PUBLIC[server]:-} ]] || make_key server
	# shellcheck disable=SC2034 # used by name
	local -A common=([bind_port]=$SERVER_PORT [private_key]=$(<"$RUN/keys/server") [control]=$RUN/server.sock
		[log_level]=debug [workers]=${VS_WORKERS:--})
	for (( ; $# > 0; )); do
		[[ $1 != -- ]] || break
		common[${1%%=*}]=${1#*=}
		shift
	done
	for member in "${@:2}"; do
		name=${member%%:*}
		[[ ${VS_PUBLIC[$name]:-} ]] || make_key "$name"
	done
	(umask 077 && : >"$RUN/server.ini.new")
	{
		put_keys common common
		for member in "${@:2}"; do
			name=${member%%:*}
			echo "[port $name]"
			echo "public_key = ${VS_PUBLIC[$name]}"
			[[ $member == *:* ]] || continue
			tr ';' '\n' <<<"${member#*:}" | sed 's/=/ = /'
		done
	} >>"$RUN/server.ini.new"
	mv "$RUN/server.ini.new" "$RUN/server.ini"
}

# client_ini PC [KEY=VALUE...] [tap.KEY=VALUE...]: writes PC.ini. Without any tap.address and tap.bridge the device gets
# the PC's usual addresses; a value of "-" leaves a key out.
client_ini() {
	local pc=$1 n=${1#pc} arg
	# shellcheck disable=SC2034 # used by name
	local -A common=([server_addr]=$SERVER_IP [server_port]=$SERVER_PORT [log_level]=debug
		[server_public_key]=${VS_PUBLIC[server]} [private_key]=$(<"$RUN/keys/$1") [control]=$RUN/$1.sock)
	# shellcheck disable=SC2034 # used by name
	local -A tap=([device]=lan0 [address]="172.20.0.$n/24, fd20::$n/64")

	shift
	# shellcheck disable=SC2034 # used by name
	for arg; do
		[[ ${arg%%=*} != tap.bridge ]] || tap[address]=-
		case $arg in
		tap.*) arg=${arg#tap.} && tap[${arg%%=*}]=${arg#*=} ;;
		*) common[${arg%%=*}]=${arg#*=} ;;
		esac
	done
	(umask 077 && : >"$RUN/$pc.ini")
	{
		put_keys common common
		put_keys tap tap
	} >>"$RUN/$pc.ini"
}

ask_server() {
	"$VSWITCHS" "$1" --json -c "$RUN/server.ini"
}

ask_client() {
	"$VSWITCHC" status --json -c "$RUN/$1.ini"
}

# start_server: and waits until it listens.
start_server() {
	background server server "$VSWITCHS" run -c "$RUN/server.ini"
	wait_until 10 ask_server status || fail "the server starts"
}

# start_client PC...
start_client() {
	local pc

	for pc; do
		background "$pc" "$pc" "$VSWITCHC" run -c "$RUN/$pc.ini"
	done
}

reload_server() {
	"$VSWITCHS" reload -c "$RUN/server.ini"
}

# port_is NAME STATE: as the server's table of ports tells.
port_is() {
	ask_server ports | jq -e --arg n "$1" --arg s "$2" '.ports | any(.name == $n and .state == $s)' >/dev/null
}

# port_value NAME KEY
port_value() {
	ask_server ports | jq -r --arg n "$1" --arg k "$2" '[.ports[] | select(.name == $n)][0][$k]'
}

# port_has NAME CONDITION: a jq condition on the port's row, such as '.datagram > 1300'.
port_has() {
	ask_server ports | jq -e --arg n "$1" ".ports | any(.name == \$n and ($2))" >/dev/null
}

# listens PC PORT: somebody listens there for TCP.
listens() {
	in_ns "$1" ss -Hltn "sport = :$2" | grep -q .
}

# start_lan N: the whole of it, for tests that need no more: N members with their usual addresses, all up.
start_lan() {
	local n names=()

	make_net "$1"
	for ((n = 1; n <= $1; n++)); do
		names+=("pc$n")
	done
	server_ini -- "${names[@]}"
	for n in "${names[@]}"; do
		client_ini "$n"
	done
	check_not "no LAN without the switch" can_ping pc1 "$(lan_ip pc2)"
	start_server
	start_client "${names[@]}"
	for n in "${names[@]}"; do
		wait_for "$n is up" 15 port_is "$n" up
	done
}

# can_ping PC ADDRESS [PING OPTION...]: an answer to one of up to three.
can_ping() {
	local pc=$1 address=$2 _

	shift 2
	for _ in 1 2 3; do
		! in_ns "$pc" ping -n -q -c 1 -W "$VS_PING_WAIT" "$@" "$address" || return 0
	done
	return 1
}

# ping_all PC ADDRESS COUNT [PING OPTION...]: every one is answered.
ping_all() {
	local pc=$1 address=$2 count=$3

	shift 3
	in_ns "$pc" ping -n -q -c "$count" -i 0.02 -W 2 "$@" "$address" | grep -q " $count received"
}

lan_ip() {
	echo "172.20.0.${1#pc}"
}

lan_ip6() {
	echo "fd20::${1#pc}"
}

# --- Outages ----------------------------------------------------------------------------------------------------------

children_of() {
	cat "/proc/$1/task/$1/children" 2>/dev/null || true
}

# crash NAME: kill -9 of all of the program's processes at once.
crash() {
	local pid=${VS_PID[$1]} children

	kill -STOP "$pid"
	children=$(children_of "$pid")
	# shellcheck disable=SC2086 # a list
	kill -KILL $children "$pid"
	wait "$pid" 2>/dev/null || true
	# shellcheck disable=SC2086
	wait_until 10 all_gone $children || fail "kill -9 ends $1"
	unset "VS_PID[$1]"
}

all_gone() {
	local pid

	for pid; do
		! kill -0 "$pid" 2>/dev/null || return 1
	done
}

server_listens() {
	in_ns server ss -Hlun "sport = :$SERVER_PORT" | grep -q .
}

# start_pings NAME PC ADDRESS: twenty a second, each answer with its time in NAME.log.
start_pings() {
	background "$1" "$2" ping -n -D -i 0.05 "$3"
}

# answered_since NAME USEC: whether a ping that was sent at or after that moment has been answered. An answer's time less
# its round trip is when its question left.
answered_since() {
	awk -v since="$2" -F '[][=]' '/bytes from/ {
		split($NF, rtt, " ")
		if ($2 * 1000000 - rtt[1] * 1000 >= since)
			found = 1
	} END { exit !found }' "$RUN/$1.log"
}

# recovers_within WHAT SECONDS USEC COMMAND...: from the moment USEC the command succeeds within so many seconds (times
# VS_SLOW): for the requirements that name a time. The figure is printed.
recovers_within() {
	local what=$1 limit=$2 since=$3 took

	shift 3
	wait_until "$((limit + 10))" "$@" || fail "$what: not at all ($*)"
	took=$(($(usec) - since))
	((took <= limit * 1000000 * VS_SLOW)) || fail "$what: after $((took / 1000)) ms, $limit s allowed"
	ok "$what: after $((took / 1000)) ms"
}

# --- The end ----------------------------------------------------------------------------------------------------------

sanitizers_are_silent() {
	! grep -lE 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$RUN"/*.log
}

# finish: the programs end cleanly, leave nothing behind, and no sanitizer has complained.
finish() {
	local name n

	for ((n = 1; n <= VS_PCS; n++)); do
		name=pc$n
		running "$name" || continue
		stop "$name" || fail "$name ends with status 0 (it was $?)"
		check_not "$name has taken its TAP device along" ip -n "$name" link show lan0
	done
	if running server; then
		stop server || fail "the server ends with status 0 (it was $?)"
		check_not "the server has removed its control socket" test -e "$RUN/server.sock"
	fi
	check "no sanitizer has complained" sanitizers_are_silent
	echo "1..$VS_CHECKS"
	VS_DONE=1
	exit 0
}
