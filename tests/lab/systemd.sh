# shellcheck shell=bash disable=SC1091,SC2016,SC2034,SC2154
# The shipped units, installed, under a real systemd: who runs as what, that they live and die together, that a stopped
# daemon stays stopped, and that posture sees what it has to through the sandbox.
#
#      wan ------- ctl      systemd: ztcontroller.service, ztnode.service (laptop of una@units.example)
#       `--------- vault    tag:vault   tcp/7443 granted, tcp/7444 not; tcp/7445 if posture holds
#
# limit: 240
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[resource vault]
	on    = tag:vault
	ports = tcp/7443
	[resource back-room]
	on    = tag:vault
	ports = tcp/7445
	[resource clock-room]
	on    = tag:vault
	ports = tcp/7446
	[posture seen]
	require = hostname == renamed, custom.script == ran, process.running:systemd == true, file.exists:/home/una/mark == true
	[posture steered]
	require = time.offset < 1000
	[rule una-to-vault]
	who  = user:una@units.example
	what = resource:vault
	why  = She has the keys
	[rule una-to-back-room]
	who  = user:una@units.example
	what = resource:back-room
	how  = posture:seen
	why  = Where the keys are made
	[rule una-to-clock-room]
	who  = user:una@units.example
	what = resource:clock-room
	how  = posture:steered
	why  = So that the fact is asked for
	END
}

# A machine of its own inside of ctl, whose PID 1 is systemd. It knows our units and the names that they lean on, no others.
# Its PID 1 is this very script's second half.
box_start()
{
	cat >"$lab/box.sh" <<-'END'
	mount -t proc proc /proc
	mount -t tmpfs -o mode=755 run /run
	umount /sys/fs/cgroup # and mounted again: its root is the box's
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir -p /run/units/service.d
	for unit in sysinit basic sockets multi-user network network-online nss-user-lookup shutdown umount final; do
		echo "[Unit]" >"/run/units/$unit.target"
	done
	# The lab kernel has no message queues for PrivateIPC= to be private.
	printf '[Service]\nStandardOutput=append:%s/units.log\nStandardError=inherit\nPrivateIPC=no\n' "$1" \
		>/run/units/service.d/lab.conf
	export container=lab SYSTEMD_UNIT_PATH=/run/units:/usr/local/lib/systemd/system
	exec /lib/systemd/systemd --unit=basic.target --log-target=console --show-status=no
	END
	cat >"$lab/power.sh" <<-'END'
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	mkdir -p /sys/fs/cgroup/box
	echo $$ >/sys/fs/cgroup/box/cgroup.procs
	unshare --pid --mount --cgroup --ipc --fork --kill-child bash "$1/box.sh" "$1" &
	trap 'kill -KILL $!; wait; exit 0' TERM
	wait
	END
	start box ctl box.log bash "$lab/power.sh" "$lab"
	await 10 find_init && await 30 box systemctl is-active --quiet basic.target
}

find_init()
{
	local holder

	holder=$(children_of "${pids[box]}")
	[ -n "$holder" ] && init=$(children_of "$holder") && [ -n "$init" ]
}

box()
{
	nsenter -t "$init" -m -n -u -i -p -C -- "$@"
}

# As in lib.sh, but ctl's is in the box.
node()
{
	local name=$1

	shift
	if [ "$name" = ctl ]; then box ztnode "$@"; else on "$name" ztnode "$@"; fi
}

is_state()
{
	local state

	state=$(box systemctl show -p ActiveState --value "$1") && echo "$1 is $state" && [ "$state" = "$2" ]
}

main_pid()
{
	box systemctl show -p MainPID --value "$1"
}

# UNIT KEY VALUE of /proc/PID/status
is_line()
{
	local pid

	pid=$(main_pid "$1")
	box awk -v key="$2:" -v want="$3" '$1 == key { print; found = ($2 == want) } END { exit !found }' "/proc/$pid/status"
}

is_file()
{
	[ "$(box stat -c '%F %U:%G %a' "$1")" = "$2" ]
}

as_user()
{
	box setpriv --reuid=12345 --regid="$1" --clear-groups ztnode status
}

is_fact()
{
	box ztnode posture --json | jq -e --arg name "$1" --arg value "$2" \
		'[.facts[] | select(.name == $name)] | tostring | ., (fromjson[0].value == $value)'
}

# A number where the machine's clock is steered, as it is natively; the words are the privileged role's.
knows_clock()
{
	box ztnode posture --json | jq -e '.facts[] | select(.name == "time.offset") |
		if .known then (.value | test("^[0-9]+$")) else .value == "clock is not synchronised" end'
}

# Of a unit: its main process is there, and is another than before.
is_another()
{
	local pid

	pid=$(main_pid "$1")
	[ "$pid" -gt 0 ] && [ "$pid" != "$2" ]
}

# UNIT: its process is killed; both are there again, and neither is the one before.
lose()
{
	local net kern

	net=$(main_pid ztnode) kern=$(main_pid ztnode-kern)
	box kill -KILL "$(main_pid "$1")"
	await 20 is_another ztnode "$net" && await 20 is_another ztnode-kern "$kern" && await 20 is_connected ctl
}

# As the talking role's user: connected, and hears nothing, while the daemon serves its first.
is_left_waiting()
{
	box setpriv --reuid=ztnode --regid=ztnode --clear-groups python3 - <<-'END'
	import socket
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect("/run/ztnode/kern.sock")
	s.settimeout(2)
	try:
	    raise SystemExit("it heard: " + repr(s.recv(100)))
	except TimeoutError:
	    pass
	END
}

is_gone()
{
	! box test -e "/run/ztnode/$1"
}

lab_start vault
must make -s install PREFIX=/usr/local "B=$programs"
must systemd-sysusers /usr/local/lib/sysusers.d/ztnode.conf
must box_start
serve vault 7443 7444 7445

note "before there is anything"
check "a node that is not enrolled is no failure" box systemctl start ztnode
check "and does not run" is_state ztnode inactive
check "nor is its socket left" await 10 is_gone control.sock

note "the controller"
must box install -d -o ztcontroller -g ztcontroller -m 0700 /var/lib/ztcontroller
must box setpriv --reuid=ztcontroller --regid=ztcontroller --clear-groups \
	ztcontroller init --dir /var/lib/ztcontroller --url "$(controller_url)"
export ZTCTL_ADMIN=/var/lib/ztcontroller/admin.key
check "starts" box systemctl start ztcontroller
check "as its user" denied is_line ztcontroller Uid 0
must policy_put < <(make_policy)

note "the node"
secret=$(token --user una@units.example)
must node_enroll ctl "$secret" --name una
check "starts, and is ready then" box systemctl start ztnode
check "both roles run" test "$(main_pid ztnode)" -gt 0 -a "$(main_pid ztnode-kern)" -gt 0
node_join vault --tag vault
nodes_ready ctl vault
vault=${address[vault]}
check "what is not granted does not pass" await 20 only_open 7443 ctl tcp "$vault" 7443 7444 7445

note "the talking role"
uid=$(id -u ztnode)
check "is the user" is_line ztnode Uid "$uid"
check "without a capability" is_line ztnode CapEff 0000000000000000
check "nor a way to one" is_line ztnode CapBnd 0000000000000000
check "no new privileges" is_line ztnode NoNewPrivs 1
note "the privileged role"
check "is root" is_line ztnode-kern Uid 0
check "with CAP_NET_ADMIN and nothing else" is_line ztnode-kern CapEff 0000000000001000
check "and can never have more" is_line ztnode-kern CapBnd 0000000000001000
check "no new privileges" is_line ztnode-kern NoNewPrivs 1

note "sockets"
check "the folder is root's" is_file /run/ztnode "directory root:root 755"
check "the privileged role's is for the talking one alone" is_file /run/ztnode/kern.sock "socket ztnode:ztnode 600"
check "the command line's is root's, the group looks" is_file /run/ztnode/control.sock "socket root:ztnode 660"
check "a user of the group sees the status" as_user ztnode
check "another does not" refused 1 "not open to this user" as_user 12345
check "a second connection to the privileged role is not served" is_left_waiting
check "and the first goes on" is_connected ctl
check "a daemon by hand is refused" refused 1 "runs already with /var/lib/ztnode" box ztnode run

note "posture, through the sandbox"
must box mkdir -p /etc/ztnode/posture.d /home/una
box touch /home/una/mark
printf '#!/bin/sh\necho script=ran\n' | box tee /etc/ztnode/posture.d/script >"$lab/log"
must box chmod 755 /etc/ztnode/posture.d/script
must box hostname renamed
must box nft add table inet other # a look at the firewall; the host name goes with it
check "a new host name" await 30 is_fact hostname renamed
check "a script's fact" await 100 is_fact custom.script ran
check "processes of others" await 30 is_fact process.running:systemd true
check "a file in a home" await 60 is_fact file.exists:/home/una/mark true
check "the clock" knows_clock
check "all that opens the back room" await 20 only_open "7443 7445" ctl tcp "$vault" 7443 7444 7445

note "they live and die together"
must hold x ctl "$vault" 7443
check "the talking role is killed" lose ztnode
check "the privileged role is killed" lose ztnode-kern
check "the connection went on" is_held x
hold_end x

note "what cannot work"
before=$(main_pid ztnode-kern)
must on ctl ip link add other0 type dummy
echo "interface = other0" | box tee /etc/ztnode/ztnode.ini >"$lab/log"
check "its restart fails" denied box systemctl restart ztnode
check "the log says why" grep -q "other0" "$lab/units.log"
must box rm /etc/ztnode/ztnode.ini
check "once that is mended it comes back by itself" await 30 is_connected ctl
check "as another" is_another ztnode-kern "$before"

note "stopped"
check "by one command" box systemctl stop ztnode
check "the talking role has ended" is_state ztnode inactive
check "and the privileged one" is_state ztnode-kern inactive
check "a question does not start it" refused 3 "not running" box ztnode status
check "nor is a socket left" await 10 is_gone kern.sock
check "the kernel keeps what it has" reaches ctl tcp "$vault" 7443
check "started again" box systemctl start ztnode
check "it is connected" await 20 is_connected ctl
net=$(main_pid ztnode) kern=$(main_pid ztnode-kern)
check "restarted" box systemctl restart ztnode
check "both are others" eval 'is_another ztnode "$net" && is_another ztnode-kern "$kern"'
check "and connected" await 20 is_connected ctl

note "left"
check "ztnode leave" box ztnode leave
check "it ends, which is no failure" await 20 is_state ztnode inactive
check "and what it had" denied reaches ctl tcp "$vault" 7443
check "the privileged role as well" is_state ztnode-kern inactive
check "its log has no secret" denied grep -F "${secret#*_}" "$lab/units.log"
