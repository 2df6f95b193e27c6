#!/usr/bin/env bash
# Plain KCP clients: a KCP that is not ours (tests/interop) is a host on the LAN, in message and in stream mode, over
# both IP versions, with loss, and with the smallest window that KCP has by default. It echoes and is pinged by a
# member, and looks at every datagram on its wire.
#
#   pc1 (member, vswitchc) --+
#   pc2 (plain KCP) ---------+-- net -- server [listen old] protocol = kcp, UDP 7001
#   pc3 (not allowed) -------+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
KCP_CLIENT=$VS_BUILD/tests/kcp-client
[[ -x $KCP_CLIENT ]] || skip "$KCP_CLIENT is not built: it needs golang-go and golang-github-xtaci-kcp-dev"
need socat

PORT=7001
make_net 3

# with_listen [LINE...]: the server's file, with a listener and what else it is to say.
with_listen() {
	server_ini -- pc1
	cat >>"$RUN/server.ini" <<-END
		[listen old]
		protocol = kcp
		bind_port = $PORT
		$(printf '%s\n' "$@")
	END
}

# dial NAME PC SERVER IP [OPTION...]: starts a plain client.
dial() {
	background "$1" "$2" "$KCP_CLIENT" -server "$3:$PORT" -ip "$4" -peer "$(lan_ip pc1)" "${@:5}"
}

has_result() {
	grep -q '^{' "$RUN/$1.log"
}

# result NAME CONDITION: of the client's report.
result() {
	grep '^{' "$RUN/$1.log" | jq -e "$2" >/dev/null
}

# one_peer CONDITION: there is one plain peer, and this holds of its row.
one_peer() {
	ask_server ports | jq -e "[.ports[] | select(.kind == \"kcp\" and .address != null)] | length == 1 and (.[0] | $1)" \
		>/dev/null
}

no_peer() {
	ask_server ports | jq -e '[.ports[] | select(.kind == "kcp" and .address != null)] == []' >/dev/null
}

udp_listens() {
	in_ns server ss -Hlun "sport = :$PORT" | grep -q .
}

# --- Off, and refused without `allow` ---
server_ini -- pc1
client_ini pc1
start_server
start_client pc1
wait_for "pc1 is up" 15 port_is pc1 up
check_not "no listener unless the file says so" udp_listens

with_listen
check_not "without allow the file is refused" "$VSWITCHS" check -c "$RUN/server.ini"
complaint() {
	local text

	text=$("$VSWITCHS" check -c "$RUN/server.ini" 2>&1) || true
	grep -q "server.ini:[0-9]*: .*\[listen old\] needs .allow.*ithout handshake" <<<"$text"
}
check "... with file, line and reason" complaint
check_not "... by a reload as well" reload_server
check_not "... which changes nothing" udp_listens

with_listen "allow = 10.1.2.0/24, 2001:db8:2::/64"
check "a reload adds the listener" reload_server
check "it listens" udp_listens
wait_for "the status says so" 5 port_is old listening

# --- Who is not allowed ---
dial stranger pc3 $SERVER_IP 172.20.0.99
refused() {
	ask_server status | jq -e '.drops.plain_refused > 0' >/dev/null
}
wait_for "who is not allowed is refused" 10 refused
check "... and gets no port" no_peer
stop stranger || true

# noise N: N datagrams that are no KCP, from an address that is allowed.
noise() {
	local i

	for ((i = 1; i <= $1; i++)); do
		head -c $((i * 13)) /dev/urandom | in_ns pc2 socat -u STDIN "UDP4-SENDTO:$SERVER_IP:$PORT"
	done
}
noise 20
counted_noise() {
	ask_server status | jq -e '.drops.bad_segment >= 20' >/dev/null
}
wait_for "noise is counted" 10 counted_noise
check "... and makes no peer" no_peer

# --- Hosts on the LAN ---
check_not "nobody there yet" can_ping pc1 172.20.0.91
n=90
for way in "message:$SERVER_IP:" "stream:$SERVER_IP:" "message:[$SERVER_IP6]:" "stream:$SERVER_IP:-loss 0.05" \
	"message:$SERVER_IP:-loss 0.1" "message:$SERVER_IP:-nodelay=false"; do
	n=$((n + 1))
	IFS=: read -r mode rest <<<"$way"
	address=${rest%:*}
	extra=${rest##*:}
	what="$mode mode to $address${extra:+ ($extra)}"
	count=300
	[[ $extra != *false ]] || count=60
	# shellcheck disable=SC2086 # options
	dial "kcp$n" pc2 "$address" 172.20.0.$n -mode "$mode" -echoes $count -seed $n $extra
	wait_for "$what: it joins" 20 grep -q joined "$RUN/kcp$n.log"
	wait_for "$what: all of $count payloads are echoed" 60 has_result "kcp$n"
	check "$what: ... byte for byte" result "kcp$n" ".echoed == $count and .wrong == 0 and .repeated <= $count / 10"
	check "$what: every datagram is KCP's" result "kcp$n" '.wire.odd == 0 and .wire.push[1] > 0 and .wire.ack[1] > 0'
	check "$what: the bytes on the wire are those of the program" result "kcp$n" '.same_in and .same_out'
	[[ $mode != message ]] || check "$what: each message is a frame" result "kcp$n" '.cut_reads == 0'
	[[ $extra != *loss* ]] || check "$what: datagrams were lost" result "kcp$n" '.wire.lost > 10'
	[[ $extra != *loss* ]] || check "$what: ... and segments sent again" one_peer '.arq.retransmitted > 3'
	[[ $extra == *loss* ]] || check "$what: few segments are sent again" result "kcp$n" \
		'.wire.again[1] <= 5 + .wire.push[1] / 20'
	check "$what: pc1 pings it" ping_all pc1 172.20.0.$n 20 -i 0.1
	check "$what: it is a port of the switch" one_peer '.state == "up" and .cipher == "none" and .rx_frames > 50'
	echo "# $(grep '^{' "$RUN/kcp$n.log")"
	check "it is kicked" "$VSWITCHS" kick -c "$RUN/server.ini" "$(ask_server ports |
		jq -r '.ports[] | select(.kind == "kcp" and .address != null) | .name')"
	wait_for "... and gone" 5 no_peer
	stop "kcp$n" || true
done

# --- A client that is killed and started again, at the same address, and several at once ---
dial before pc2 $SERVER_IP 172.20.0.96 -port 7777
wait_for "a client joins from port 7777" 20 has_result before
stop before KILL || true
dial after pc2 $SERVER_IP 172.20.0.96 -port 7777
wait_for "killed and started again, it joins at once" 10 has_result after
check "... as one port" one_peer '.address == "10.1.2.2:7777"'
check "pc1 pings it" ping_all pc1 172.20.0.96 10
check "the log tells" grep -q "down: has begun another conversation" "$RUN/server.log"
check "it is kicked" "$VSWITCHS" kick -c "$RUN/server.ini" old/10.1.2.2:7777
stop after || true

for n in 97 98; do
	dial "kcp$n" pc2 $SERVER_IP 172.20.0.$n -seed $n
	wait_for "client $n joins" 20 grep -q joined "$RUN/kcp$n.log"
done
check "pc1 pings one" ping_all pc1 172.20.0.97 10
check "... and the other" ping_all pc1 172.20.0.98 10
two_peers() {
	ask_server ports | jq -e '[.ports[] | select(.kind == "kcp" and .state == "up")] | length == 2' >/dev/null
}
check "two ports" two_peers

# --- Reload ---
with_listen "allow = 10.1.2.0/24" "isolate = yes"
check "a reload changes the VLAN rule" reload_server
check "both live on" two_peers
wait_for "an isolated one reaches the member" 10 can_ping pc1 172.20.0.97
with_listen "allow = 10.9.0.0/16"
check "a reload takes the addresses out of allow" reload_server
check "their ports are gone" no_peer
server_ini -- pc1
check "a reload removes the listener" reload_server
check_not "it listens no more" udp_listens
stop kcp97 || true
stop kcp98 || true

finish
