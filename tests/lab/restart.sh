# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Every process ends and starts again, in every order, and a connection through the tunnel does not notice: the
# kernel keeps what the daemons put there. Without them nothing new is granted.
#
#      wan ------- ctl
#       |--------- nia      laptop of nia@orchard.example
#       `--------- press    tag:press    tcp/4040 (tcp/4041 granted at the end)
#
# limit: 240
LAB_NET4=10.9.8 LAB_PORT=9443
. "$(dirname "$0")/lib.sh"

# The longest silence that counts as "did not notice" on a busy machine: TCP sends a lost packet again after 200 ms,
# then 400 ms, then 800 ms.
gap_max_ms=1400

make_policy()
{
	cat <<-END
	[resource presses]
	on    = tag:press
	ports = $1
	[rule press]
	who  = user:nia@orchard.example
	what = resource:presses
	why  = Apples do not wait
	END
}

goes_on()
{
	local what=$1

	hold_end x
	check "$what: the connection went on, longest silence $gap ms" test "$gap" -le "$gap_max_ms"
	check "$what: both interfaces are still the same ones" test "$(interfaces)" = "$interfaces"
	check "$what: a new one is possible" await 10 reaches nia tcp "$press" 4040
	must hold x nia "$press" 4040
}

# Made anew, an interface would have another index.
interfaces()
{
	on nia cat /sys/class/net/zt0/ifindex
	on press cat /sys/class/net/zt0/ifindex
}

restart_node()
{
	local name=$1 how=$2

	if [ "$how" = kill ]; then node_kill "$name"; else node_stop "$name" || true; fi
	pause 0.5
	node_start "$name"
	must await 20 is_connected "$name"
}

restart_controller()
{
	stop controller "$1" || true
	pause 0.5
	must controller_serve
	must await 30 is_connected nia
	must await 30 is_connected press
}

# Whoever of the daemon dies, the daemon stands again with both roles, or ends as a whole and is started by who
# minds it (systemd; here we).
lose_role()
{
	local name=$1 role=$2 pid

	pid=$(role_pid "$name" "$role") || { echo "no role $role of $name"; return 1; }
	kill -KILL "$pid"
	await 5 is_changed "$name" "$pid" || return 1
	is_running "$name" || { echo "the daemon ended, as it may"; stop "$name" || true; node_start "$name"; }
	await 20 is_connected "$name"
}

# The process is gone, and either another is there or the whole daemon went.
is_changed()
{
	! kill -0 "$2" 2>/dev/null || return 1
	! is_running "$1" || has "$1" .device
}

both_roles()
{
	role_pid "$1" kern >/dev/null && role_pid "$1" net >/dev/null
}

lab_start nia press
serve press 4040 4041
controller_start
must policy_put < <(make_policy tcp/4040)
node_join nia --user nia@orchard.example
node_join press --tag press
nodes_ready nia press
press=${address[press]}
check "nia reaches the press" await 10 reaches nia tcp "$press" 4040
check "the daemon is two roles" both_roles nia
interfaces=$(interfaces)
must hold x nia "$press" 4040

for name in nia press; do
	restart_node "$name" stop
	goes_on "$name's daemon is stopped and started"
	restart_node "$name" kill
	goes_on "$name's daemon is killed and started"
	for role in net kern; do
		check "$name's role $role is killed, and it stands again" lose_role "$name" "$role"
		goes_on "$name's role $role"
	done
done
restart_controller TERM
goes_on "the controller is stopped and started"
restart_controller KILL
goes_on "the controller is killed and started"

note "all at once, in different orders"
stop controller KILL || true
node_kill press
node_kill nia
for name in nia press; do node_start "$name"; done
pause 1
must controller_serve
must await 30 is_connected nia
must await 30 is_connected press
goes_on "all are killed; nodes first, then the controller"
node_kill nia
stop controller KILL || true
node_kill press
must controller_serve
for name in press nia; do node_start "$name"; done
must await 30 is_connected nia
must await 30 is_connected press
goes_on "all are killed; the controller first, then the nodes"

note "what changed meanwhile is not missed"
node_kill nia
must policy_put "one port more" < <(make_policy "tcp/4040, tcp/4041")
check "the other end has it, this one not" denied reaches nia tcp "$press" 4041
node_start nia
check "once it runs again it has it too" await 20 reaches nia tcp "$press" 4041
must node_stop press
must policy_put "one port less" < <(make_policy tcp/4041)
check "the source ends what the stopped destination cannot" await 10 denied reaches nia tcp "$press" 4040
node_start press
check "and what stays, stays" await 20 reaches nia tcp "$press" 4041
check "the log is unbroken" ztctl audit verify
