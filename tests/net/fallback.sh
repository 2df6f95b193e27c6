#!/usr/bin/env bash
# Where the server is: several addresses in order of preference, names, IPv6, a name whose address changes.
#
#   pc1 --+          192.0.2.9: nobody
#   pc2 --+-- net -- 192.0.2.1, 2001:db8:ff::1 server (port 7000); 192.0.2.2: a second address of its host
#                    192.0.2.1 port 7001: a second server ("first" in the list of pc1)

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make_net 2
add_addresses server eth0 192.0.2.2/24
server_ini -- pc1 pc2

# Names come from a file of our own.
echo "hosts: files" >"$RUN/nsswitch.conf"
mount --bind "$RUN/nsswitch.conf" /etc/nsswitch.conf
touch "$RUN/hosts"
mount --bind "$RUN/hosts" /etc/hosts
names() {
	printf '%s\n' "$@" >"$RUN/hosts"
}

dials_to() {
	ask_client pc1 | jq -e --arg a "$2" '.state == "connected" and .address == $a'
}

# reaches WHAT SERVER_ADDR ADDRESS: with this list pc1 ends up there.
reaches() {
	client_ini pc1 "server_addr=$2"
	start_client pc1
	wait_for "$1: $2" 20 dials_to pc1 "$3"
	check "pc1 reaches pc2" can_ping pc1 "$(lan_ip pc2)"
	stop pc1 || fail "pc1 ends with status 0"
}

names "$SERVER_IP srv.test" "192.0.2.9 dead.test" "192.0.2.9 both.test" "$SERVER_IP both.test"
client_ini pc1
client_ini pc2
check_not "no LAN without the switch" can_ping pc1 "$(lan_ip pc2)"
start_server
start_client pc2
wait_for "pc2 is up" 15 port_is pc2 up

reaches "a name" srv.test "$SERVER_IP:$SERVER_PORT"
reaches "a name with a port" srv.test:$SERVER_PORT "$SERVER_IP:$SERVER_PORT"
reaches "IPv6" "$SERVER_IP6" "[$SERVER_IP6]:$SERVER_PORT"
reaches "the second of a list, the first being silent" "192.0.2.9, $SERVER_IP" "$SERVER_IP:$SERVER_PORT"
reaches "the second of a list, the first being unknown" "no.such.test, srv.test" "$SERVER_IP:$SERVER_PORT"
reaches "the second address of a name" both.test "$SERVER_IP:$SERVER_PORT"
reaches "the server's second address, from which it answers" 192.0.2.2 "192.0.2.2:$SERVER_PORT"

# --- The order is an order of preference ---
sed "s/^bind_port.*/bind_port = 7001/; s|^control.*|control = $RUN/first.sock|" "$RUN/server.ini" >"$RUN/first.ini"
chmod 600 "$RUN/first.ini"
background first server "$VSWITCHS" run -c "$RUN/first.ini"
wait_until 10 "$VSWITCHS" status -c "$RUN/first.ini" || fail "the other server starts"
client_ini pc1 "server_addr=$SERVER_IP:7001, $SERVER_IP:7000"
start_client pc1
wait_for "of two servers the first in the list is taken" 20 dials_to pc1 "$SERVER_IP:7001"
crash first
wait_for "when it dies, the second" 30 dials_to pc1 "$SERVER_IP:7000"
check "pc1 reaches pc2 through it" can_ping pc1 "$(lan_ip pc2)"
stop pc1 || fail "pc1 ends with status 0"

# --- The name gets another address while the client runs ---
client_ini pc1 server_addr=srv.test
start_client pc1
wait_for "pc1 is connected by name" 20 dials_to pc1 "$SERVER_IP:$SERVER_PORT"
stop server || fail "the server ends with status 0"
sed -i "s/^bind_port/bind_addr = 192.0.2.2\nbind_port/" "$RUN/server.ini"
names "192.0.2.2 srv.test"
start_server
wait_for "pc1 follows the name to its new address" 40 dials_to pc1 "192.0.2.2:$SERVER_PORT"

finish
