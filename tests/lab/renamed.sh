# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What names mean changes while connections are open: a user's groups, set by an admin; resources and rules that get
# other names. A connection is cut exactly when what its names mean now does not grant it, at both ends.
#
#      wan ------- ctl
#       |--------- kim      laptop of kim@wharf.example
#       |--------- pat      laptop of pat@wharf.example
#       |--------- crane    tag:crane    tcp/9003
#       `--------- lock     tag:lock     tcp/9003
#
# Group drivers has no members in the policy: admins fill it.
LAB_NET4=10.46.0
. "$(dirname "$0")/lib.sh"

# Names: of the resource of tag:crane, of the one of tag:lock, of the one that is granted; of the rule.
make_policy()
{
	cat <<-END
	[group drivers]
	[group idle]
	[resource $1]
	on    = tag:crane
	ports = tcp/9003
	[resource $2]
	on    = tag:lock
	ports = tcp/9003
	[rule $4]
	who  = group:drivers
	what = resource:$3
	why  = Cranes need drivers
	END
}

put()
{
	policy_put "names: $*" < <(make_policy "$@")
}

groups()
{
	ztctl user groups "$@"
}

# The server's own filter knows this client.
lets_in()
{
	on "$1" nft list set inet ztnode grants4 >"$lab/set" || return 125
	grep -F "${address[$2]} . ${address[$1]} " "$lab/set" >/dev/null
}

has_peer_of()
{
	on "$1" wg show zt0 allowed-ips >"$lab/peers" || return 125
	grep -F "${address[$2]}/32" "$lab/peers" >/dev/null
}

cut_at_both_ends()
{
	local what=$1

	shift
	now_us
	check "$what: done" "$@"
	check "$what: pat's connection is cut" await 10 is_cut pat
	note "$what: the last byte passed $((($(cut_at pat) - now) / 1000)) ms after the command began"
	check "$what: no new one" denied reaches pat tcp "$crane" 9003
	check "$what: the crane's own filter does not let pat in" await 5 denied lets_in crane pat
	check "$what: nor is pat its peer" await 5 denied has_peer_of crane pat
	hold_end pat
}

granted_again()
{
	local what=$1

	shift
	check "$what" "$@"
	check "$what: pat reaches the crane" await 10 reaches pat tcp "$crane" 9003
	check "$what: a connection is open" hold pat pat "$crane" 9003
}

lab_start kim pat crane lock
serve crane 9003
serve lock 9003
controller_start
must put cranes locks cranes drive
node_join kim --user kim@wharf.example
node_join pat --user pat@wharf.example
node_join crane --tag crane
node_join lock --tag lock
nodes_ready kim pat crane lock
crane=${address[crane]} lock=${address[lock]}
check "who is in no group reaches nothing" denied reaches pat tcp "$crane" 9003
must groups kim@wharf.example drivers
check "kim, a driver, does" await 10 reaches kim tcp "$crane" 9003
check "pat still does not" denied reaches pat tcp "$crane" 9003
check "kim's connection is open" hold kim kim "$crane" 9003

note "groups"
granted_again "pat is made a driver" groups pat@wharf.example drivers
cut_at_both_ends "in no group any more" groups pat@wharf.example --none
granted_again "a driver again" groups pat@wharf.example drivers
cut_at_both_ends "in another group" groups pat@wharf.example idle
granted_again "a driver, in both groups" groups pat@wharf.example idle drivers
check "the list says so" is_json 'any(.email == "pat@wharf.example" and (.groups | sort) == ["drivers", "idle"])' \
	ztctl user list
check "out of the one that grants nothing" groups pat@wharf.example drivers
check "the connection does not notice" stays 3 is_held pat

note "names that change, and mean the same"
check "the resource has another name" put hoists locks hoists drive
check "explain knows it" says 'ALLOWED' ztctl explain pat@wharf.example hoists tcp/9003
check "the connection does not notice" stays 3 is_held pat
check "the rule has another name" put hoists locks hoists lift
check "the device knows it" await 10 has pat '[.peers[].rules[]] == ["lift"]'
check "the connection does not notice" stays 3 is_held pat

note "names that mean something else"
check "no connection to the lock yet" denied reaches pat tcp "$lock" 9003
cut_at_both_ends "the granted name is another resource's now" put old-hoists hoists hoists lift
check "kim's is cut too" await 10 is_cut kim
check "the lock is reached by that name" await 10 reaches pat tcp "$lock" 9003
granted_again "and back" put hoists locks hoists lift
check "the lock is not any more" await 10 denied reaches pat tcp "$lock" 9003
check "the log is unbroken" ztctl audit verify
