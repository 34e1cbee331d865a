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

# Of the state's file, one kind of damage: what must happen then, and with the good file back all is as before.
damaged()
{
	local file=$1 what=$2

	shift 2
	rm -rf "$lab/zoe/kept"
	cp -a "$lab/zoe/state" "$lab/zoe/kept"
	(cd "$lab/zoe/state" && "$@")
	case $file in
	device | identity.key | wireguard.key | serial)
		check "$file $what: it does not start, and says so" refused 1 "$file|not enrolled" run_zoe
		;;
	netmap)
		check "$file $what: says so, and takes a newer one alone" takes_a_newer_map
		;;
	lock)
		check "$file $what: it works all the same" run_and_reach
		;;
	*)
		check "$file $what: somebody said what must happen" false
		;;
	esac
	node_stop zoe || true
	find "$lab/zoe/state" -mindepth 1 -delete
	cp -a "$lab/zoe/kept/." "$lab/zoe/state/"
}

# What the kernel kept must not be taken for a map that was taken.
takes_a_newer_map()
{
	: >"$lab/zoe.log"
	run_and_reach
	await 20 has zoe ".controller.serial > $serial" || return 1
	cat "$lab/zoe.log"
	grep -qE 'saved netmap (is|does)' "$lab/zoe.log"
}

names_lost_key()
{
	cat "$lab/zoe.log"
	grep -q 'identity.key' "$lab/zoe.log" && ! grep -q 'left the network' "$lab/zoe.log"
}

is_another_map()
{
	! cmp -s "$lab/zoe/older" "$lab/zoe/state/netmap"
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
node_start zoe
check "the map that is in force" await 20 has zoe '.controller.serial > 0'
serial=$(get zoe .controller.serial)
node_stop zoe || true
while read -r file; do
	damaged "$file" "half-written" half "$file"
	damaged "$file" "empty" truncate -s 0 "$file"
	damaged "$file" "gone" rm "$file"
done < <(cd "$lab/zoe/state" && find . -type f ! -name '*.lock' -printf '%P\n' | sort)
works_again "state"
cp "$lab/zoe/state/netmap" "$lab/zoe/older"
node_start zoe
check "the map after that" await 20 is_another_map
node_stop zoe || true
cp "$lab/zoe/older" "$lab/zoe/state/netmap"
check "an older map put back: says so, and takes a newer one alone" takes_a_newer_map
check "and says that it is older" grep -q 'older than the last one in force' "$lab/zoe.log"
node_stop zoe || true

: >"$lab/zoe.log"
node_start zoe
check "a daemon that runs" await 20 is_connected zoe
mv "$lab/zoe/state/identity.key" "$lab/zoe/lost.key"
kill -KILL "$(role_pid zoe kern)"
check "a key lost under it: it ends when it would start anew" await 20 denied is_running zoe
check "with status 1" ends_with 1 stop zoe
check "and names the file; it did not leave" names_lost_key
mv "$lab/zoe/lost.key" "$lab/zoe/state/identity.key"

rm "$lab/zoe/state/serial"
check "what the line says mends it: leave" node zoe leave
check "and a new token" node_enroll zoe "$(token --user zoe@mill.example)"
works_again "enrolled anew"

note "its configuration"
printf '[node]\nno-such-key = 1\n' >"$lab/zoe/etc/ztnode.ini"
check "an unknown key is refused with its line" refused 1 'ztnode\.ini:2' run_zoe
rm "$lab/zoe/etc/ztnode.ini"
check "an interface name that is too long is wrong usage" \
	refused 2 'interface' run_zoe --interface much-too-long-a-name
check "a word that is no subcommand is wrong usage" ends_with 2 node zoe dance
works_again "configuration"
