#!/usr/bin/env bash
# Plain TCP clients: frames over a TCP stream, cut anywhere. What is no frame ends that connection and no other; who is
# not allowed gets none, and nobody who sends nothing keeps one.
#
#   pc1 (member, vswitchc) --+
#   pc2 (plain TCP) ---------+-- net -- server [listen old] protocol = tcp, port 700 (its bind takes a privilege)
#   pc3 (not allowed) -------+

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 socat

PORT=700
make_net 3

with_listen() {
	server_ini -- pc1
	cat >>"$RUN/server.ini" <<-END
		[listen old]
		protocol = tcp
		bind_port = $PORT
		$(printf '%s\n' "$@")
	END
}

# dial NAME PC SERVER IP [OPTION...]
dial() {
	background "$1" "$2" python3 "$VS_NET_DIR/plain_tcp.py" "$3" $PORT "${@:4}"
}

says() {
	grep -q "^$2" "$RUN/$1.log"
}

# has_answered NAME ADDRESS: the client has answered a ping, of which the answer may come too late for its asker.
has_answered() {
	can_ping pc1 "$2" || true
	says "$1" answered
}

# peers N: so many plain peers are connected.
peers() {
	ask_server ports | jq -e --argjson n "$1" '[.ports[] | select(.kind == "tcp" and .address != null)] | length == $n' \
		>/dev/null
}

# counted REASON N: dropped under it, by the server as a whole.
counted() {
	ask_server status | jq -e --arg r "$1" --argjson n "$2" '(.drops[$r] // 0) >= $n' >/dev/null
}

server_ini -- pc1
client_ini pc1
start_server
check_not "no listener unless the file says so" listens server $PORT
stop server || fail "the server ends with status 0"

with_listen
check_not "without allow the file is refused" "$VSWITCHS" check -c "$RUN/server.ini"
with_listen "allow = 10.1.2.0/24, 2001:db8:2::/64" "max_clients = 6"
start_server
check "it listens" listens server $PORT
start_client pc1
wait_for "pc1 is up" 15 port_is pc1 up

# --- Who is not allowed ---
dial stranger pc3 $SERVER_IP 172.20.0.99
wait_for "who is not allowed is refused" 10 counted plain_refused 1
wait_for "... and closed" 10 gone stranger
unset "VS_PID[stranger]"
check "... and gets no port" peers 0

# --- Hosts on the LAN ---
check_not "nobody there yet" can_ping pc1 172.20.0.91
dial tcp91 pc2 $SERVER_IP 172.20.0.91
dial tcp92 pc2 $SERVER_IP 172.20.0.92 --cut 7
dial tcp93 pc2 $SERVER_IP6 172.20.0.93 --cut 1000
for n in 91 92 93; do
	wait_for "client $n is reached" 15 can_ping pc1 172.20.0.$n
	check "client $n answers every ping" ping_all pc1 172.20.0.$n 50
	check "client $n answers pings of 1500 bytes" ping_all pc1 172.20.0.$n 20 -s 1472
done
check "three ports" peers 3
check "a port knows its protocol and address" jq -e '[.ports[] | select(.kind == "tcp" and .state == "up" and
	.cipher == "none" and (.name | startswith("old/10.1.2.2:") or startswith("old/[2001:db8:2::2]:")))] | length == 3' \
	<(ask_server ports)

# --- What is no frame ---
for bad in noise flag short giant control super; do
	dial "bad-$bad" pc2 $SERVER_IP 172.20.0.95 --then $bad
	wait_for "client with a bad '$bad' joins" 15 has_answered "bad-$bad" 172.20.0.95
	wait_for "... and is closed" 10 says "bad-$bad" closed
	stop "bad-$bad" || true
	wait_for "... and its port is gone" 10 peers 3
done
check "the log says why" grep -q "down: has sent what is not frames" "$RUN/server.log"
for n in 91 92 93; do
	check "client $n is still there" ping_all pc1 172.20.0.$n 10
done

# --- Who says nothing, and too many ---
for n in 1 2 3 4; do
	background "mute$n" pc2 socat -u "TCP4:$SERVER_IP:$PORT" STDOUT
done
wait_for "beyond max_clients nobody gets in" 10 counted plain_limit 1
check "pc1 pings client 91 meanwhile" ping_all pc1 172.20.0.91 10
wait_for "who sends no frame is closed" 20 peers 3
check "the log says why" grep -q "has not sent a frame within 5 s" "$RUN/server.log"
for n in 1 2 3 4; do
	wait_for "its program knows" 10 gone "mute$n"
	unset "VS_PID[mute$n]"
done

# --- Reload and end ---
with_listen "allow = 10.1.2.0/24" "vlan = 7"
check "a reload changes VLAN and allow" reload_server
wait_for "who is not allowed any more is closed" 10 gone tcp93
unset "VS_PID[tcp93]"
check "the others live on" peers 2
check_not "... in another VLAN than pc1" can_ping pc1 172.20.0.91
PORT=701
with_listen "allow = 10.1.2.0/24"
check "a reload moves the listener" reload_server
check "... to the other port" listens server 701
check_not "... and away from the first" listens server 700
wait_for "its clients are closed" 10 gone tcp91
unset "VS_PID[tcp91]" "VS_PID[tcp92]"
dial tcp94 pc2 $SERVER_IP 172.20.0.94
wait_for "they come in there" 10 can_ping pc1 172.20.0.94
stop tcp94 || true
wait_for "the client ends, and its port with it" 10 peers 0

# --- A port that somebody else has ---
background other server socat -u TCP4-LISTEN:702,fork STDOUT
wait_for "another program listens on 702" 10 listens server 702
PORT=702
with_listen "allow = 10.1.2.0/24"
in_use() {
	local text

	text=$(reload_server 2>&1) && return 1
	grep -q "old could not be taken up: TCP 0.0.0.0:702 is in use" <<<"$text"
}
check "a reload says that the port is in use" in_use
check "... the listener is gone" port_is old gone
stop other || true
check "the next reload tries again" reload_server
check "... and listens" port_is old listening

finish
