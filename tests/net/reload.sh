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

# --- What counts from the next start only ---
told_to_restart() {
	reload_server | grep -qx "only at the next start: mac_entries, buffer_max"
}
server_ini buffer_max=32MiB mac_entries=100 -- pc1 pc2 pc3
check "keys that need a new start are all named" told_to_restart
check "... by each reload" told_to_restart
server_ini -- pc1 pc2 pc3
check_not "... until the file is as it was" told_to_restart

# --- A client that dies and comes back ---
crash pc1
since=$(port_value pc1 since_sec)
start_client pc1
wait_for "pc1 comes back after a crash" 20 port_has pc1 ".since_sec < $since"
check "... as the port that it was" test "$(ask_server ports | jq '.ports | length')" = 3
check_not "... not as a second one" port_is 'pc1#2' up

# --- Several clients of one key ---
stop pc3 || fail "pc3 ends with status 0"
cp "$RUN/keys/pc3" "$RUN/keys/pc3.keep"
cp "$RUN/keys/pc2" "$RUN/keys/pc3"
client_ini pc3
server_ini -- pc1 pc2:max_clients=2
check "reload" reload_server
start_client pc3
wait_for "a second client of pc2's key has a port of its own" 20 port_is 'pc2#2' up
handshakes=$(port_value pc2 handshakes)
check "kick by the port's name" "$VSWITCHS" kick 'pc2#2' -c "$RUN/server.ini"
check_not "... its link is gone" port_is 'pc2#2' up
wait_for "it dials in again" 20 port_is 'pc2#2' up
check "... and pc2 kept its link" test "$(port_value pc2 handshakes)" = "$handshakes"
stop pc3 || fail "pc3 ends with status 0"
cp "$RUN/keys/pc3.keep" "$RUN/keys/pc3"
client_ini pc3
server_ini -- pc1 pc2 pc3
check "reload" reload_server
start_client pc3

# --- Sections get other names, and keys move: well within the 30 s for which a revoked client stays away ---
VS_PUBLIC[laptop]=${VS_PUBLIC[pc2]}
server_ini -- pc1 laptop pc3
check "reload with pc2 renamed" reload_server
wait_for "pc2 is back under its new name" 10 port_is laptop up
check_not "... and the old one is gone" port_has pc2 true
swapped=${VS_PUBLIC[laptop]}
VS_PUBLIC[laptop]=${VS_PUBLIC[pc1]}
VS_PUBLIC[pc1]=$swapped
server_ini -- pc1 laptop pc3
check "reload with two keys swapped" reload_server
wait_for "pc2 is back as pc1" 10 port_has pc1 '(.address // "") | startswith("10.1.2.2:")'
wait_for "pc1 is back as laptop" 10 port_has laptop '(.address // "") | startswith("10.1.1.2:")'
check "they reach each other" can_ping pc1 "$(lan_ip pc2)"

stop server || fail "the server ends with status 0"
check "the server's log says who is stopping" grep -q "laptop: link to .* ended: we are stopping" "$RUN/server.log"
check_not "... and does not blame others" grep -q "laptop: .*peer is stopping" "$RUN/server.log"

finish
