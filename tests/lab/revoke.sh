# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Access taken away by an admin: a device revoked, expired, untagged, a user out of the group, a rule gone. Each
# time an open connection is cut at once.
#
#      wan ------- ctl
#       |--------- kim      laptop of kim@wharf.example
#       |--------- pat      laptop of pat@wharf.example
#       `--------- crane    tag:crane    tcp/9000-9010
#
# limit: 200
LAB_NET4=10.44.0
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-END
	[group drivers]
	members = $1
	[resource cranes]
	on    = tag:crane
	ports = tcp/9000-9010
	[rule drive]
	who  = group:drivers
	what = resource:cranes
	why  = Cranes need drivers
	END
}

cut_at_once()
{
	local what=$1 who=$2 asked

	shift 2
	check "$what: a connection is open" hold x "$who" "$crane" 9003
	now_us
	asked=$now
	check "$what: done" "$@"
	check "$what: the connection is cut" await 10 is_cut x
	note "$what: the last byte passed $((($(cut_at x) - asked) / 1000)) ms after the command began"
	check "$what: no new one" denied reaches "$who" tcp "$crane" 9003
	check "$what: nobody has the other as a peer any more" await 5 has_no_peer "$who"
	hold_end x
}

has_no_peer()
{
	[ -z "$(on "$1" wg show zt0 peers 2>/dev/null)" ]
}

put_members()
{
	policy_put "drivers: $1" < <(make_policy "$1")
}

lab_start kim pat crane
serve crane 9000-9010
controller_start --network 172.29.0.0/20
must put_members "user:kim@wharf.example, user:pat@wharf.example"
node_join kim --user kim@wharf.example
node_join pat --user pat@wharf.example
node_join crane --tag crane
nodes_ready kim pat crane
crane=${address[crane]}
check "kim reaches the crane" await 10 reaches kim tcp "$crane" 9003
check "pat too" await 10 reaches pat tcp "$crane" 9003
check "every port of the range" only_open "9000 9010" pat tcp "$crane" 9000 9010

cut_at_once "out of the group" pat put_members "user:kim@wharf.example"
check "kim did not notice" reaches kim tcp "$crane" 9003
must put_members "user:kim@wharf.example, user:pat@wharf.example"
check "back in the group" await 10 reaches pat tcp "$crane" 9003

cut_at_once "tag taken from the server" pat ztctl device tag crane -crane +spare
check "tag given back" ztctl device tag crane +crane -spare
check "access is back" await 10 reaches pat tcp "$crane" 9003

cut_at_once "expired" pat ztctl device expire pat
check "its state says so" await 5 is_json 'any(.name == "pat" and .state == "expired")' ztctl device list

check "revoking asks for a reason" ends_with 2 ztctl device revoke kim
cut_at_once "revoked" kim ztctl device revoke kim --why "laptop lost at the quay"
check "the list says revoked" is_json 'any(.name == "kim" and .state == "revoked")' ztctl device list
check "the device knows" await 10 has kim '.device.state == "revoked"'
check "explain says why not" says 'revoked' ends_with 4 ztctl explain kim crane tcp/9003
must node_stop kim
node_start kim
check "a restart does not help it" await 10 has kim '.device.state == "revoked"'
check "no access" denied reaches kim tcp "$crane" 9003
check "the audit log has the reason" is_json 'any(.why == "laptop lost at the quay")' ztctl audit log
must stop controller
must controller_serve
check "nor does a restart of the controller" stays 3 denied reaches kim tcp "$crane" 9003

old=${address[kim]}
node_stop kim || true
check "it may be enrolled again after it left" node kim leave
check "with a new token" node_enroll kim "$(token --user kim@wharf.example)" --name kim-again
node_start kim
nodes_ready kim crane
check "it gets access" await 10 reaches kim tcp "$crane" 9003
check "by another address: the old one rests" test "${address[kim-again]}" != "$old"
check "the log is unbroken" ztctl audit verify
