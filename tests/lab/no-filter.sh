# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Never a tunnel without its filter, nor the reverse: nftables refuses, in several ways and at several moments, on the
# laptop alone. What it must not do any more is closed through WireGuard until the filter can be written again.
#
#      wan ------- ctl
#       |--------- lou      laptop of lou@gate.example    its netlink refuses what $lab/refuse names
#       |--------- desk     tag:desk     tcp/7001, tcp/7003
#       `--------- vault    tag:vault    tcp/7002
#
# limit: 240
LAB_NET4=10.61.0
. "$(dirname "$0")/lib.sh"

make_policy()
{
	local name

	for name; do
		cat <<-END
			[resource $name]
			on    = tag:${name%2}
			ports = tcp/${name_port[$name]}
			[rule to-$name]
			who  = user:lou@gate.example
			what = resource:$name
			why  = A test of the filter
		END
	done
}
declare -A name_port=([desk]=7001 [desk2]=7003 [vault]=7002)

put()
{
	policy_put "granted: $*" < <(make_policy "$@")
}

# What lou's netlink refuses from now on: KIND ERROR of preload/refuse_netlink.c; nothing: all is well.
refuse()
{
	echo "$*" >"$lab/refuse.new"
	mv "$lab/refuse.new" "$lab/refuse"
}

start_lou()
{
	start lou lou lou.log env "LD_PRELOAD=$lab/refuse.so" "REFUSE_NETLINK=$lab/refuse" ztnode run
}

has_interface()
{
	local status=0

	on lou ip link show dev zt0 >"$lab/link" 2>&1 || status=$?
	grep -q 'does not exist' "$lab/link" && return 1
	[ "$status" -eq 0 ] || return 125
}

# Peers in lou's WireGuard, by the address that they are let speak for: exactly these.
has_peers()
{
	local wanted=$1 found

	found=$(on lou wg show zt0 allowed-ips) || return 125
	found=$(awk 'NF { sub("/.*", "", $2); print $2 }' <<<"$found" | sort | tr '\n' ' ')
	echo "peers: '$found', wanted '$wanted'"
	[ "$found" = "$wanted" ]
}

has_no_peers()
{
	has_peers ""
}

has_guards()
{
	says 'unreachable' on lou ip route show proto 122 type unreachable || return 1
	says 'unreachable' on lou ip -6 route show proto 122 type unreachable
}

has_table()
{
	local status=0

	on lou nft list table inet ztnode >"$lab/table" 2>&1 || status=$?
	grep -q 'No such file' "$lab/table" && return 1
	[ "$status" -eq 0 ] || return 125
}

grants()
{
	on lou nft list set inet ztnode grants4 >"$lab/grants" || return 125
	grep -F "$1" "$lab/grants" >/dev/null
}

has_problem()
{
	has lou '.problem | test("'"$1"'")'
}

is_well()
{
	has lou '.problem == "" or .problem == null'
}

# In the log the same failure is one line, not one a second.
says_once()
{
	local lines

	lines=$(grep -cE -- "$1" "$lab/lou.log") || true
	echo "$lines lines like '$1'"
	[ "$lines" -ge 1 ] && [ "$lines" -le "$2" ]
}

nothing_passes()
{
	denied reaches lou tcp "$desk" 7001 && no_echo
}

# ping has another status where there is no way at all.
no_echo()
{
	local status=0

	pings lou "$desk" >"$lab/ping" 2>&1 || status=$?
	[ "$status" -eq 1 ] || { [ "$status" -eq 2 ] && grep -q 'No route' "$lab/ping"; }
}

works_again()
{
	refuse
	check "$1: when nftables takes it again, all is well" await 20 is_well
	check "$1: and the desk is reached" await 15 reaches lou tcp "$desk" 7001
}

lab_start lou desk vault
must gcc -shared -fPIC -Wall -o "$lab/refuse.so" "$project/tests/lab/preload/refuse_netlink.c"
chmod 755 "$lab" "$lab/refuse.so"
serve desk 7001 7003
serve vault 7002
controller_start
must put desk vault
node_join desk --tag desk
node_join vault --tag vault
must node_enroll lou "$(token --user lou@gate.example)"

note "the first table is refused"
refuse write EPERM
must start_lou
nodes_ready lou desk vault
desk=${address[desk]} vault=${address[vault]}
check "status says what keeps it from enforcing" await 10 has_problem 'not permitted'
check "no interface, so no tunnel" denied has_interface
check "no table" denied has_table
check "nothing passes" nothing_passes
check "the unreachable routes stand: nothing leaves in clear" has_guards
for error in EOPNOTSUPP ENOBUFS; do
	refuse write "$error"
	check "$error: status says it" await 10 has_problem "$([ $error = ENOBUFS ] && echo buffer || echo support)"
	check "$error: no interface" stays 2 denied has_interface
done
refuse spoil -
check "the kernel itself refuses it: status says it" await 10 has_problem 'nvalid'
check "no interface" stays 3 denied has_interface
check "the log has a line for each reason, not for each try" says_once 'cannot do: .*(table|filter)' 4
works_again "first table"

note "a grant is taken while nftables refuses"
check "the vault is reached" await 10 reaches lou tcp "$vault" 7002
check "a connection to the desk is open" hold x lou "$desk" 7001
refuse spoil -
must put desk
check "its peer is taken out of WireGuard all the same" await 10 has_peers "$desk "
check "status says that the filter is not as it should be" await 10 has_problem 'cannot do'
check "the vault is not reached" denied reaches lou tcp "$vault" 7002
check "the desk's connection goes on: its filter is right" stays 2 is_held x
hold_end x
works_again "a grant less"
check "its element is gone from the set" denied grants "$vault"

note "one of two grants of a peer is taken while nftables refuses"
must put desk desk2
check "both are there" await 10 reaches lou tcp "$desk" 7003
refuse write EOPNOTSUPP
must put desk
check "the filter would let both pass, so the peer is out of WireGuard" await 10 has_no_peers
check "status says it" await 10 has_problem 'cannot do'
check "the one that is taken is not reached" denied reaches lou tcp "$desk" 7003
works_again "one of two"
check "and that one alone" only_open 7001 lou tcp "$desk" 7001 7003
check "its element is gone from the set" denied grants "7003"

note "a peer comes while nftables refuses"
refuse write ENOBUFS
must put desk vault
check "status says it" await 10 has_problem 'cannot do'
check "the new peer is not let in" stays 2 has_peers "$desk "
check "the vault is not reached" denied reaches lou tcp "$vault" 7002
works_again "a peer more"
check "the vault is reached" await 10 reaches lou tcp "$vault" 7002

note "the table is lost while nftables refuses"
refuse write EPERM
must on lou nft delete table inet ztnode
check "no peer is left in WireGuard" await 15 has_no_peers
check "nothing passes" nothing_passes
works_again "table"

note "nftables gives no answer at all"
refuse filter EOPNOTSUPP
must on lou nft delete table inet ztnode
check "no peer is left in WireGuard" await 15 has_no_peers
check "status says it" await 10 has_problem 'cannot read the filter'
check "nothing passes" nothing_passes
works_again "answers"

note "a daemon that starts without nftables, where another left its tunnel"
node_kill lou
must on lou nft delete table inet ztnode
refuse filter EPERM
check "ends with a clear line" refused 1 'nftables' \
	on lou timeout -k 1 15 env "LD_PRELOAD=$lab/refuse.so" "REFUSE_NETLINK=$lab/refuse" ztnode run
check "and leaves no peer without a filter" has_no_peers
check "down takes the rest out" ends_with 0 on lou ztnode down

note "the reverse: the interface is refused"
refuse link EPERM
check "the mark of down goes first" ends_with 3 node lou up
must start_lou
check "status says it" await 15 has_problem 'interface|link'
check "no interface" stays 2 denied has_interface
check "the unreachable routes stand" await 5 has_guards
check "nothing passes" nothing_passes
works_again "interface"
