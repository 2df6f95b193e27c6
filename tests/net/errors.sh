#!/usr/bin/env bash
# What goes wrong at start is said in one clear line, ends the program with a status other than 0, and leaves nothing.
#
#   pc1 -- net -- server

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need socat setpriv

make_net 1
server_ini log_level=info -- pc1
client_ini pc1 log_level=info
cp "$RUN/server.ini" "$RUN/server.keep"
cp "$RUN/pc1.ini" "$RUN/pc1.keep"

nothing_is_left() {
	! ip -n pc1 link show lan0 2>/dev/null && ! ip -n server link show lan0 2>/dev/null &&
		[[ ! -S $RUN/pc1.sock ]] && { running server || [[ ! -S $RUN/server.sock ]]; }
}

# refuses WHAT PATTERN NS COMMAND...: it ends by itself, not with 0, with one line of error that has the pattern.
refuses() {
	local what=$1 pattern=$2 ns=$3 status=0

	shift 3
	in_ns "$ns" timeout $((15 * VS_SLOW)) "$@" >"$RUN/refusal.out" 2>"$RUN/refusal.log" </dev/null || status=$?
	((status != 124)) || fail "$what: the program does not end"
	((status > 0 && status < 124)) || fail "$what: the status is $status"
	ok "$what: status $status"
	check "... in one line" test "$(wc -l <"$RUN/refusal.log")" = 1
	check "... that says: $(<"$RUN/refusal.log")" grep -Eiq -- "$pattern" "$RUN/refusal.log"
	check "... and nothing is left" nothing_is_left
}

run_server=("$VSWITCHS" run -c "$RUN/server.ini")
run_client=("$VSWITCHC" run -c "$RUN/pc1.ini")

restore() {
	cp -p "$RUN/server.keep" "$RUN/server.ini"
	cp -p "$RUN/pc1.keep" "$RUN/pc1.ini"
}

# change_ini FILE SED-EXPRESSION
change_ini() {
	restore
	sed -i "$2" "$RUN/$1.ini"
}

# --- Files ---
change_ini server 's/^bind_port.*/bind_prot = 7000/'
refuses "a misspelt key" 'server\.ini:[0-9]+: .*bind_prot.*bind_port' server "${run_server[@]}"
change_ini server 's/^bind_port.*/bind_port = 70000/'
refuses "a value out of range" 'server\.ini:[0-9]+: .*bind_port.*65535' server "${run_server[@]}"
for number in 65 -1; do
	change_ini server "/^workers/d; s/^bind_port.*/&\nworkers = $number/"
	refuses "workers = $number" 'server\.ini:[0-9]+: .*workers.*64' server "$VSWITCHS" check -c "$RUN/server.ini"
done
change_ini server 's/^\[port pc1\]/[prot pc1]/'
refuses "a section of no meaning" 'server\.ini:[0-9]+: .*prot.*port' server "${run_server[@]}"
change_ini pc1 's/^server_public_key.*/server_public_key = abc/'
refuses "a key that is none" 'pc1\.ini:[0-9]+: .*server_public_key.*44' pc1 "${run_client[@]}"
change_ini pc1 's/^private_key = /private_key /'
refuses "a private key without its '='" 'pc1\.ini:[0-9]+: expected .key = value' pc1 "${run_client[@]}"
check_not "... which is not shown" grep -qF "$(cut -c1-20 "$RUN/keys/pc1")" "$RUN/refusal.log"
change_ini pc1 '/^server_addr/d'
refuses "a missing key" 'pc1\.ini.*server_addr' pc1 "${run_client[@]}"
restore
refuses "a missing file" 'nothing\.ini.*No such file' pc1 "$VSWITCHC" run -c "$RUN/nothing.ini"

# --- Names: one that does not exist ends the program; one that cannot be looked up now may be found later ---
echo "hosts: files" >"$RUN/nsswitch.conf"
mount --bind "$RUN/nsswitch.conf" /etc/nsswitch.conf
change_ini pc1 's/^server_addr.*/server_addr = no-such-host.invalid/'
refuses "a name that does not resolve" 'no-such-host\.invalid' pc1 "${run_client[@]}"
restore

# --- Addresses: each that is asked for is listened on ---
bind_to() {
	change_ini server "s/^bind_port.*/bind_addr = $1\n&/"
}
bind_to "$SERVER_IP, 127.0.0.1"
refuses "two addresses of a family" 'bind_addr: .*one IPv4 and one IPv6' server "${run_server[@]}"
bind_to "$SERVER_IP, 2001:db8:ff::bad"
refuses "an address that is not here" '2001:db8:ff::bad' server "${run_server[@]}"
bind_to "192.0.2.77, $SERVER_IP6"
refuses "... nor is that" '192\.0\.2\.77' server "${run_server[@]}"
bind_to "$SERVER_IP, $SERVER_IP6"
start_server
addresses_listened_on() {
	in_ns server ss -Hlun "sport = :$SERVER_PORT" | awk '{ print $4 }' | sort -u | wc -l
}
check "one address of each family: both" test "$(addresses_listened_on)" = 2
stop server || fail "the server ends with status 0"
restore

# --- Limits: whatever it is that cannot be had, it is named ---
# limited LIMIT VALUE NS COMMAND...: with less of something than the program needs.
limited() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	refuses "ulimit $1 $2 ($3)" error "$3" sh -c 'ulimit "$1" "$2" && shift 2 && exec "$@"' sh "$1" "$2" "${@:4}"
}
for files in 4 6 8 9 10 11 12; do
	limited -n "$files" server "${run_server[@]}"
	limited -n "$files" pc1 "${run_client[@]}"
done
change_ini server "/^workers/d; s/^bind_port.*/&\nworkers = 64/"
for files in 40 100 400; do
	limited -n "$files" server "${run_server[@]}"
done
change_ini server 's/^bind_port.*/mac_entries = 1048576\n&/'
if grep -q __asan_init "$VSWITCHS" || grep -q __tsan_init "$VSWITCHS"; then
	echo "# a sanitizer takes more memory than can be limited"
else
	limited -v 60000 server "${run_server[@]}"
	check "... which names the table" grep -q 1048576 "$RUN/refusal.log"
fi
restore
change_ini server 's|^log_level.*|log_way = file\nlog_file = /nonexistent/log|'
refuses "a log file that cannot be opened" '/nonexistent/log' server "${run_server[@]}"
if [[ ! -e /dev/log ]]; then
	change_ini pc1 's|^log_level.*|log_way = syslog|'
	refuses "syslog that does not run" '/dev/log' pc1 "${run_client[@]}"
fi
restore

# --- Devices and privileges ---
without_tun() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	refuses "$1: no /dev/net/tun" '/dev/net/tun' "$2" unshare --mount sh -c \
		'mount -t tmpfs tmpfs /dev/net && exec "$@"' sh "${@:3}"
}
without_tun "client" pc1 "${run_client[@]}"
cat >>"$RUN/server.ini" <<'END'
[tap lan]
device = lan0
END
without_tun "server with a [tap]" server "${run_server[@]}"
restore

if setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null; then
	mkdir -m 777 "$RUN/anyone"
	sed "s|^control.*|control = $RUN/anyone/pc1.sock|" "$RUN/pc1.ini" >"$RUN/anyone/pc1.ini"
	chmod 600 "$RUN/anyone/pc1.ini"
	chown 65534:65534 "$RUN/anyone/pc1.ini"
	refuses "no privilege" 'privilege|permitted|root|CAP_NET_ADMIN' pc1 \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$VSWITCHC" run -c "$RUN/anyone/pc1.ini"
	check "... not even a socket" test ! -S "$RUN/anyone/pc1.sock"
else
	echo "# no other user here: starting without privilege is not tested"
fi

ip -n pc1 tuntap add lan0 mode tap
background squatter pc1 socat "TUN,tun-type=tap,tun-name=lan0,iff-up" STDIO
device_is_busy() {
	ip -n pc1 link show lan0 | grep -q LOWER_UP
}
if wait_until 5 device_is_busy; then
	in_ns pc1 timeout $((15 * VS_SLOW)) "${run_client[@]}" 2>"$RUN/refusal.log" && fail "a device in use is refused"
	check "a device in use: $(<"$RUN/refusal.log")" grep -q "lan0" "$RUN/refusal.log"
fi
stop squatter || true
ip -n pc1 link del lan0 2>/dev/null || true

# --- What is in use ---
background squatter server socat -u UDP4-RECV:$SERVER_PORT STDOUT
wait_until 10 server_listens || fail "socat takes the port"
refuses "a port in use" "$SERVER_PORT.*in use" server "${run_server[@]}"
stop squatter || true

check_not "nothing runs yet" ask_server status
start_server
change_ini server 's/^bind_port.*/bind_port = 7001/'
refuses "a control socket in use" 'server\.sock' server "${run_server[@]}"
restore
check "the server whose socket it is goes on" ask_server status
stop server || fail "the server ends with status 0"
refuses "status without a server" 'no vswitchs is running' server "$VSWITCHS" status -c "$RUN/server.ini"

# --- And when all is well, it starts ---
start_server
start_client pc1
wait_for "with the right files all works" 15 port_is pc1 up

# --- Signals and descriptors of a running program ---
children_are() {
	test "$(children_of "$1" | wc -w)" = "$2"
}
kill -HUP "${VS_PID[pc1]}"
wait_for "a client without a terminal only warns on SIGHUP" 5 grep -q 'started again' "$RUN/pc1.log"
check "... and goes on" port_is pc1 up
stop pc1 || fail "pc1 ends with status 0"

printf '#!/bin/sh\n: >"%s"\n' "$RUN/down.ran" >"$RUN/down"
chmod 755 "$RUN/down"
echo "down = $RUN/down" >>"$RUN/pc1.ini"

# The terminal is closed by the end of socat, whose own goodbye to its child must not be what ends the client.
# shellcheck disable=SC2016 # expanded by the inner shell
background terminal pc1 sh -c 'socat -u "EXEC:$2,pty,stderr,setsid,ctty" STDOUT & echo "$!" >"$1"; wait' sh \
	"$RUN/terminal.pid" "${run_client[*]}"
wait_for "a client in a terminal" 15 port_is pc1 up
kill -KILL "$(<"$RUN/terminal.pid")"
wait_for "... ends with it" 10 nothing_is_left
check "... and runs the down script" test -e "$RUN/down.ran"
rm "$RUN/down.ran"
stop terminal || true

# shellcheck disable=SC2016 # expanded by the inner shell
background closed pc1 sh -c 'exec "$@" 0<&- 1>&- 2>&-' sh "${run_client[@]}"
wait_for "a client without standard descriptors" 15 port_is pc1 up
standard_are_null() {
	local pid

	for pid in "$1" $(children_of "$1"); do
		[[ $(readlink "/proc/$pid/fd/"{0,1,2} | sort -u) == /dev/null ]] || return 1
	done
}
check "... has /dev/null in their place" standard_are_null "${VS_PID[closed]}"
stop closed || fail "it ends with status 0"
rm "$RUN/down.ran"

# Who reads the log ends first, as `| tee` does by Ctrl-C.
mkfifo "$RUN/reader"
# shellcheck disable=SC2016 # expanded by the inner shell
background piped pc1 sh -c 'exec 2>"$1" && shift && exec "$@"' sh "$RUN/reader" "${run_client[@]}"
exec {reader}<"$RUN/reader"
wait_for "a client that logs to a pipe" 15 port_is pc1 up
exec {reader}<&-
stop piped || fail "... ends with status 0 when nobody reads any more (it was $?)"
ok "... ends with status 0 when nobody reads any more"
check "... and leaves nothing" nothing_is_left
check "... and runs the down script" test -e "$RUN/down.ran"

# --- Frames longer than the port takes ---
change_ini pc1 's/^device.*/&\noffload = off/'
start_client pc1
wait_for "a client without offloads" 15 port_is pc1 up
ip -n pc1 link set lan0 mtu 9000
ip -n pc1 neigh replace 172.20.0.77 lladdr 02:00:00:00:00:77 dev lan0
giants() {
	in_ns pc1 ping -n -q -c 1 -W 0.1 -s 8000 172.20.0.77 || true
	ask_client pc1 | jq -e '.drops.giant > 0'
}
wait_for "frames of an MTU that was raised by hand are dropped, not cut off" 10 giants

finish
