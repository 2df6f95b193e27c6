#!/usr/bin/env bash
# The server's file is changed and read again while it runs: ports come and go, a bad file changes nothing and says why.
#
#   pc1 --+
#   pc2 --+-- net -- server
#   pc3 --+               pc3 is added while it runs

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

make_net 3
server_ini -- pc1 pc2
make_key pc3
for pc in pc1 pc2 pc3; do
	client_ini "$pc"
done
start_server
start_client pc1 pc2 pc3
for pc in pc1 pc2; do
	wait_for "$pc is up" 15 port_is "$pc" up
done
check_not "pc3 is nobody yet" can_ping pc3 "$(lan_ip pc1)"
handshakes=$(port_value pc1 handshakes)

# --- A port is added ---
server_ini -- pc1 pc2 pc3
check "reload" reload_server
wait_for "pc3 is let in without being started again" 30 can_ping pc3 "$(lan_ip pc1)"

# --- SIGHUP, and a change that a live link takes ---
server_ini -- pc1 pc2:vlan=7 pc3
kill -HUP "${VS_PID[server]}"
wait_for "SIGHUP puts pc2 into VLAN 7" 10 port_has pc2 '.vlan == 7'
check_not "... apart from the others" can_ping pc2 "$(lan_ip pc1)"
server_ini -- pc1 pc2 pc3
check "reload" reload_server
wait_for "and back" 10 can_ping pc2 "$(lan_ip pc1)"

# --- A bad file ---
cp "$RUN/server.ini" "$RUN/server-good.keep"
echo "no_such_key = 1" >>"$RUN/server.ini"
line=$(wc -l <"$RUN/server.ini")
check_not "a bad file is refused" reload_server
reload_server 2>"$RUN/reload.err" || true
check "... with its line and key" grep -q "server.ini:$line: .*no_such_key" "$RUN/reload.err"
check "... and the switch goes on" can_ping pc1 "$(lan_ip pc2)"
kill -HUP "${VS_PID[server]}"
logged() {
	grep -q no_such_key "$RUN/server.log"
}
wait_for "SIGHUP with a bad file says so in the log" 10 logged
rm "$RUN/server.ini"
check_not "a missing file is refused" "$VSWITCHS" reload -c "$RUN/server.ini" -s "$RUN/server.sock"
cp "$RUN/server-good.keep" "$RUN/server.ini"
check "the right file is taken again" reload_server
check "all the while pc1 kept its link" test "$(port_value pc1 handshakes)" = "$handshakes"

# --- Kick ---
since=$(port_value pc2 since_sec)
check "kick" "$VSWITCHS" kick pc2 -c "$RUN/server.ini"
wait_for "pc2 dials in again" 20 port_has pc2 ".since_sec < $since"
check_not "nobody can be kicked who is not there" "$VSWITCHS" kick nobody -c "$RUN/server.ini"

finish
