# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# The main job, from an empty folder to a working tunnel and back to nothing.
#
#      wan ------- ctl     the controller
#       |--------- ada     laptop of ada@corp.test        finance
#       |--------- sam     laptop of sam@corp.test        nobody's
#       `--------- db      server, tag:ledger             tcp/5432 (and others that nobody may reach)
#
# limit: 180
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[network]
	lease = 10m
	[group finance]
	members = user:ada@corp.test
	[resource ledger]
	on    = tag:ledger
	ports = tcp/5432
	data  = confidential
	owner = group:finance
	[rule finance-to-ledger]
	who  = group:finance
	what = resource:ledger
	why  = Finance keeps the books
	[test sam-stays-out]
	from   = user:sam@corp.test
	to     = ledger tcp/5432
	expect = deny
	END
}

lab_start ada sam db
check "init makes the controller's folder and one admin credential" \
	controller_init --name corp
check "and prints it: it is what the file holds" \
	test "$(grep -o 'ztadm1_[A-Za-z0-9_-]*' "$lab/log" | head -n 1)" = "$(cat "$ZTCTL_ADMIN")"
check "the folder is its owner's alone" test "$(stat -c %a "$lab/ctl/var/c")" = 700
check "the credential too" test "$(stat -c %a "$ZTCTL_ADMIN")" = 600
check "a second init in the same folder is refused and harms nothing" \
	refused 1 'already|exists|not empty' as_daemon ztcontroller init --dir "$lab/ctl/var/c" --url https://192.0.2.2:1
check "serve says ready" controller_serve
check "status answers" ztctl status
check "and in JSON" is_json '.devices.total == 0' ztctl status

secret=$(token --user ada@corp.test)
check "a token is one word" test "$(wc -w <<<"$secret")" -eq 1
check "that says what it is" test "${secret:0:4}" = zt1_
check "ada enrols" node_enroll ada "$secret" --name ada-laptop
check "enrolling makes no interface" denied on ada ip link show zt0
check "the token is used up: sam cannot use it" refused 1 'token' node_enroll sam "$secret"
check "sam enrols with a token of his own" node_enroll sam "$(token --user sam@corp.test)"
check "db enrols with a tag" node_enroll db "$(token --tag ledger)"
check "the list of tokens has three, all used" \
	is_json 'length == 3 and all(.uses_left == 0)' ztctl token list
check "the list of devices has three" is_json 'length == 3 and all(.state == "active")' ztctl device list
serve db 22 5432 5433 8000-8010
serve ada 22 5432
for name in ada sam db; do node_start "$name"; done
nodes_ready ada sam db
db=${address[db]} db6=${address6[db]} ada=${address[ada-laptop]}

check "without a policy nobody has a peer" \
	test -z "$(on ada wg show zt0 peers)$(on sam wg show zt0 peers)$(on db wg show zt0 peers)"
check "and ada does not reach db" denied reaches ada tcp "$db" 5432
check "nor over IPv6" denied reaches ada tcp "$db6" 5432
check "why says no" ends_with 4 node ada why "$db" tcp/5432
check "explain says no" ends_with 4 ztctl explain user:ada@corp.test db tcp/5432

make_policy >"$lab/good.ini"
check "policy check accepts the file" ztctl policy check "$lab/good.ini"
check "policy put puts it in force" ztctl policy put "$lab/good.ini" --why "first policy"
check "ada reaches the database port" await 10 reaches ada tcp "$db" 5432
check "over IPv6 too" reaches ada tcp "$db6" 5432
check "and nothing else of it" only_open 5432 ada -t 1000 tcp "$db" 22 5430-5435 8000-8010
check "the database cannot open a connection to her" denied reaches db tcp "$ada" 5432
check "sam has no tunnel to anything" test -z "$(on sam wg show zt0 peers)"
check "sam does not reach db" denied reaches sam tcp "$db" 5432
check "policy get gives the file back" diff "$lab/good.ini" <(ztctl policy get)
check "the policy log says why" says "first policy" ztctl policy log

check "why says yes" node ada why "$db" tcp/5432
check "and names the rule in JSON" is_json '.allowed and .rule == "finance-to-ledger"' node ada why "$db" tcp/5432
check "why says no for another port" ends_with 4 node ada why "$db" tcp/22
check "explain: yes for the user" ztctl explain user:ada@corp.test db tcp/5432
check "explain: yes for the device and the resource" ztctl explain ada-laptop ledger tcp/5432
check "explain: no for sam, with the nearest rule" ends_with 4 ztctl explain sam db tcp/5432
check "explain in JSON has the fields of the contract" \
	is_json '.allowed == true and .rule == "finance-to-ledger"' ztctl explain ada-laptop db tcp/5432
check "policy can: never for sam, in any state, at any time" says NEVER ends_with 4 ztctl policy can sam@corp.test ledger
check "always for ada" says ALWAYS ztctl policy can user:ada@corp.test ledger
check "and in JSON, from device to device" \
	is_json '.verdict == "always" and .ways[0].rule == "finance-to-ledger" and .from[0].name == "device:ada-laptop"' \
	ztctl policy can ada-laptop db tcp/5432

check "status has the device" has ada '.device.name == "ada-laptop" and .device.owner == "ada@corp.test" and .device.state == "active"'
check "its addresses" has ada ".device.addresses[0] == \"$ada\" and (.device.addresses | length) == 2"
check "the lease" has ada '.lease.remaining_s > 0 and .lease.remaining_s <= 600'
check "the interface" has ada '.interface == "zt0"'
check "one peer, with the rule that made it" \
	has ada '(.peers | length) == 1 and .peers[0].name == "db" and (.peers[0].rules | index("finance-to-ledger"))'
check "allowed IPs are the peer's own addresses and nothing wider" \
	has ada '.peers[0].allowed_ips | length == 2 and all(test("/(32|128)$"))'
check "a direct path to its endpoint" has ada '.peers[0].path == "direct" and (.peers[0].endpoint | length) > 0'
check "one grant out" has ada '.grants | length >= 1 and all(.direction == "out" and .proto == "tcp" and .ports == "5432")'
check "and one in at the other end" has db '.grants | length >= 1 and all(.direction == "in")'
check "status is readable for people" node ada status
check "posture too" node ada posture
check "plan says that nothing is to be done" test -z "$(node ada plan | grep -iv nothing)"

check "down takes everything out of the kernel" node ada down
check "no interface is left" denied on ada ip link show zt0
check "no table" denied on ada nft list table inet ztnode
check "no route" test -z "$(on ada ip route show table all | grep -E '100\.64|zt0')"
check "up brings it back" node ada up
check "with access" await 10 reaches ada tcp "$db" 5432
check "leave ends the enrolment" node sam leave
check "and the interface" await 5 denied on sam ip link show zt0
check "the controller knows" is_json 'map(select(.name == "sam" and .state == "active")) | length == 0' ztctl device list
check "the audit log is unbroken" ztctl audit verify
check "and tells who did what, why, and what was refused" \
	is_json 'length >= 8 and any(.why == "first policy")' ztctl audit log
check "the daemon ends in order" node_stop ada
check "the controller ends in order" stop controller
