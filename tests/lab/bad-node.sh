# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What is wrong around a node: one clear line, a stable exit code, nothing of anybody lost.
#
#      wan ------- ctl
#       |--------- zoe      laptop of zoe@mill.example
#       `--------- mill     tag:mill     tcp/3000
#
# limit: 240
LAB_NET4=192.168.77
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[resource mills]
	on    = tag:mill
	ports = tcp/3000
	[rule grind]
	who  = user:zoe@mill.example
	what = resource:mills
	why  = Flour
	END
}

as_nobody()
{
	on zoe setpriv --reuid=nobody --regid=nogroup --clear-groups ztnode "$@"
}

# In the foreground, for those that end at once.
run_zoe()
{
	on zoe timeout -k 1 15 ztnode "$@" run
}

works_again()
{
	check "$1: without that it works again" run_and_reach
	node_stop zoe || true
}

run_and_reach()
{
	node_start zoe
	await 20 reaches zoe tcp "$mill" 3000
}

# Of the state's file, one kind of damage: the daemon says which file and what to do, or it can do without it;
# it never crashes, never starts afresh, and with the good file back all is as before.
damaged()
{
	local file=$1 what=$2

	shift 2
	rm -rf "$lab/zoe/kept"
	cp -a "$lab/zoe/state" "$lab/zoe/kept"
	(cd "$lab/zoe/state" && "$@")
	check "$file $what: says so, or mends it" says_or_mends "$file"
	node_stop zoe || true
	find "$lab/zoe/state" -mindepth 1 -delete
	cp -a "$lab/zoe/kept/." "$lab/zoe/state/"
}

says_or_mends()
{
	local file=$1

	: >"$lab/zoe.log"
	node_start zoe
	await 15 has_ended_or_works || { cat "$lab/zoe.log"; return 1; }
	! is_running zoe || return 0
	stop zoe || true
	cat "$lab/zoe.log"
	grep -q "$file" "$lab/zoe.log" && ! grep -qiE 'signal|assert|segmentation' "$lab/zoe.log"
}

has_ended_or_works()
{
	! is_running zoe || reaches zoe tcp "$mill" 3000
}

half()
{
	truncate -s $(($(stat -c %s "$1") / 2)) "$1"
}

# Shows what is in there, and that the other's is untouched.
is_bridge()
{
	on zoe ip -d link show zt0 | grep bridge >/dev/null
}

reach_by_other_name()
{
	node_start zoe --interface vpn7
	await 20 reaches zoe tcp "$mill" 3000 && on zoe ip link show vpn7 && is_bridge
	node_stop zoe || true
	on zoe ip link del vpn7
	on zoe nft delete table inet ztnode-vpn7
}

lab_start zoe mill
serve mill 3000
controller_start
must policy_put < <(make_policy)
good=$(token --user zoe@mill.example)

note "no root"
for words in "enroll $good" run up down leave; do
	# shellcheck disable=SC2086
	check "${words%% *}: says that it takes root" refused 1 'root|permission|privilege' as_nobody $words
done
check "the token was not spent" node_enroll zoe "$good"
node_join mill --tag mill
nodes_ready mill
learn_addresses
mill=${address[mill]}

note "things in the way"
must on zoe ip link add zt0 type bridge
check "the interface's name is taken" refused 1 'zt0' run_zoe
check "the other's interface is untouched" is_bridge
check "another name can be given" reach_by_other_name
must on zoe ip link del zt0
works_again "interface"

must on zoe ip route add 100.64.0.0/16 via "$LAB_NET4.1"
check "the overlay range collides with a route: the line names it" refused 1 '100\.64\.0\.0/16' run_zoe
check "the route is untouched" says '100\.64\.0\.0/16' on zoe ip route show
must on zoe ip route del 100.64.0.0/16
works_again "route"

must on zoe ip link del zt0
serve zoe 51820
check "WireGuard's port is taken: another is used" run_and_reach
check "and not the taken one" test "$(on zoe wg show zt0 listen-port)" != 51820
check "a second daemon is refused" refused 1 'running|another|in use' run_zoe
check "the first one did not notice" reaches zoe tcp "$mill" 3000
node_stop zoe || true
stop serve:zoe || true

note "no daemon to ask"
for words in status "why $mill tcp/3000" posture; do
	# shellcheck disable=SC2086
	check "${words%% *}: exit code 3, and how to start it" refused 3 'run' node zoe $words
done

note "the state's files"
while read -r file; do
	damaged "$file" "half-written" half "$file"
	damaged "$file" "empty" truncate -s 0 "$file"
	damaged "$file" "gone" rm "$file"
done < <(cd "$lab/zoe/state" && find . -type f ! -name '*.lock' -printf '%P\n' | sort)
works_again "state"

note "its configuration"
printf '[node]\nno-such-key = 1\n' >"$lab/zoe/etc/ztnode.ini"
check "an unknown key is refused with its line" refused 1 'ztnode\.ini:2' run_zoe
rm "$lab/zoe/etc/ztnode.ini"
check "an interface name that is too long is wrong usage" \
	refused 2 'interface' run_zoe --interface much-too-long-a-name
check "a word that is no subcommand is wrong usage" ends_with 2 node zoe dance
works_again "configuration"
