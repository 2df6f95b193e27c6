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
change_ini server 's/^\[port pc1\]/[prot pc1]/'
refuses "a section of no meaning" 'server\.ini:[0-9]+: .*prot.*port' server "${run_server[@]}"
change_ini pc1 's/^server_public_key.*/server_public_key = abc/'
refuses "a key that is none" 'pc1\.ini:[0-9]+: .*server_public_key.*44' pc1 "${run_client[@]}"
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
stop squatter KILL || true
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

finish
