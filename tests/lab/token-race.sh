# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# A token for one device stays for one device, however many ask at once.
#
#      wan ------- ctl
#       `--------- a1 a2 ... a8    eight machines
#
# limit: 150
. "$(dirname "$0")/lib.sh"

racers=(a1 a2 a3 a4 a5 a6 a7 a8)

# All at the same moment with the same token; how many were let in.
race()
{
	local token=$1 name waiting=()

	won=0
	for name in "${racers[@]}"; do
		node "$name" enroll "$token" >"$lab/race-$name.out" 2>&1 &
		waiting+=($!)
	done
	for name in "${waiting[@]}"; do
		! wait "$name" || won=$((won + 1))
	done
}

losers_were_told()
{
	local name

	for name in "${racers[@]}"; do
		[ -n "$(on "$name" ls "/var/lib/ztnode" 2>/dev/null)" ] || continue
		grep -qi token "$lab/race-$name.out" || has_enrolled "$name" || { cat "$lab/race-$name.out"; return 1; }
	done
}

has_enrolled()
{
	! grep -qi 'refused\|token' "$lab/race-$1.out"
}

leave_all()
{
	local name

	for name in "${racers[@]}"; do
		node "$name" leave >/dev/null 2>&1 || true
	done
}

lab_start "${racers[@]}"
controller_start
check "one token" test -n "$(token --user race@corp.example >"$lab/token" && cat "$lab/token")"
race "$(cat "$lab/token")"
check "eight at once: exactly one is let in (it was $won)" test "$won" -eq 1
check "the others are told why" losers_were_told
check "the controller has one device" is_json 'length == 1' ztctl device list
check "every refusal is in the audit log" \
	is_json '[.[] | select(.kind | test("refused|token"))] | length >= 7' ztctl audit log
leave_all

race "$(token --user race@corp.example --uses 3)"
check "a token for three: three are let in (it was $won)" test "$won" -eq 3
leave_all

dead=$(token --user race@corp.example --name dead)
id=$(ztctl token list --json | jq -r '.[] | select(.name == "dead") | .id')
check "a revoked token" ztctl token revoke "$id"
race "$dead"
check "lets nobody in (it was $won)" test "$won" -eq 0
short=$(token --user race@corp.example --expires 1s)
pause 1.5
race "$short"
check "nor does one that is over (it was $won)" test "$won" -eq 0
check "two devices have two addresses" \
	is_json '[.[].addresses[]] | length == (unique | length)' ztctl device list
check "the log is unbroken" ztctl audit verify
