#!/usr/bin/env bash
# One switch, several LANs: access and trunk ports, isolated ports.
#
#   pc1 (access 10) --+
#   pc2 (access 10) --+-- net -- server
#   pc3 (access 20) --+
#   pc4 (trunk 10, 20) speaks tagged frames by itself (vlan_arping.py): not every kernel has VLAN devices

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3

members=(pc1 pc2 pc3 pc4)
make_net 4
server_ini -- pc1:vlan=10 pc2:vlan=10 pc3:vlan=20 "pc4:trunk=10, 20"
for pc in "${members[@]}"; do
	client_ini "$pc"
done
start_server
check_not "no LAN before the clients start" can_ping pc1 "$(lan_ip pc2)"
start_client "${members[@]}"
for pc in "${members[@]}"; do
	wait_for "$pc is up" 15 port_is "$pc" up
done

# arping VID PC: the trunk asks in a VLAN who has the PC's address, and gets the answer in the same VLAN.
arping() {
	in_ns pc4 python3 "$VS_NET_DIR/vlan_arping.py" lan0 "$1" "$(lan_ip pc4)" "$(lan_ip "$2")"
}

check "VLAN 10: pc1 reaches pc2" can_ping pc1 "$(lan_ip pc2)"
check_not "pc1 does not reach VLAN 20" can_ping pc1 "$(lan_ip pc3)"
check_not "pc3 does not reach VLAN 10" can_ping pc3 "$(lan_ip pc2)"
check_not "untagged frames do not pass a trunk" can_ping pc4 "$(lan_ip pc1)"
check "the trunk reaches pc1 in VLAN 10" arping 10 pc1
check "the trunk reaches pc2 in VLAN 10" arping 10 pc2
check "the trunk reaches pc3 in VLAN 20" arping 20 pc3
check_not "pc1 is not in VLAN 20" arping 20 pc1
check_not "pc3 is not in VLAN 10" arping 10 pc3
check_not "VLAN 30 is not the trunk's" arping 30 pc1
check_not "no VLAN: tag of priority only" arping 0 pc1

vlans_of() {
	ask_server macs | jq -r --arg p "$1" '[.macs[] | select(.port == $p) | .vlan] | unique | join(" ")'
}
check "the MAC table tells the VLAN of pc3" test "$(vlans_of pc3)" = 20
check "... and both of the trunk" test "$(vlans_of pc4)" = "10 20"

# --- Isolated ports ---
server_ini -- pc1:isolate=yes pc2:isolate=yes pc3 pc4
check "reload: pc1 and pc2 are isolated" reload_server
wait_for "an isolated port reaches one that is not" 10 can_ping pc1 "$(lan_ip pc3)"
check "the other too" can_ping pc2 "$(lan_ip pc3)"
check_not "two isolated ports do not reach each other" can_ping pc1 "$(lan_ip pc2)"

finish
