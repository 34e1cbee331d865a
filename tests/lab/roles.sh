# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# The two roles alone, as systemd's units start them, without systemd: each on the listening socket that it is handed.
#
#      wan ------- ctl
#       |--------- noa      the talking role, the privileged role
#       `--------- crypt    tag:crypt   tcp/7443 granted, tcp/7444 not
#
# limit: 200
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[resource crypt]
	on    = tag:crypt
	ports = tcp/7443
	[rule noa-to-crypt]
	who  = user:noa@roles.example
	what = resource:crypt
	why  = She winds the clock
	END
}

as_nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups)

# ROLE, then as activate.py
role_start()
{
	local role=$1

	shift
	: >"$lab/$role.log"
	start "$role" noa "$role.log" python3 "$project/tests/lab/activate.py" "$@" ztnode role "$role"
	await 10 grep -qx ready "$lab/$role.log"
}

role_is()
{
	pid=$(children_of "${pids[$1]}") && [ -n "$pid" ]
}

# ROLE KEY VALUE of /proc/PID/status
is_line()
{
	role_is "$1" && awk -v key="$2:" -v want="$3" '$1 == key { print; found = ($2 == want) } END { exit !found }' "/proc/$pid/status"
}

# SECONDS, command before: connects to the privileged role and prints what it comes to: "closed", "waits", "heard".
knock()
{
	local seconds=$1

	shift
	on noa "$@" python3 - "$seconds" <<-'END'
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	s.connect("/run/ztnode/kern.sock")
	s.settimeout(int(sys.argv[1]))
	try:
	    print("heard" if s.recv(100) else "closed")
	except TimeoutError:
	    print("waits")
	END
}

# WANTED, as knock
is_answered()
{
	local wanted=$1 answer

	shift
	answer=$(knock "$@") && echo "$answer" && [ "$answer" = "$wanted" ]
}

is_closed_out()
{
	on noa "${as_nobody[@]}" python3 -c '
import socket, sys
try: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/run/ztnode/kern.sock")
except PermissionError: sys.exit(1)'
}

# ROLE: killed; afterwards another pair is there, at the first question.
lose()
{
	local kern net

	role_is kern && kern=$pid && role_is net && net=$pid
	role_is "$1" && kill -KILL "$pid"
	await 10 denied kill -0 "$kern" && await 10 denied kill -0 "$net" && await 30 is_connected noa
}

lab_start noa crypt
chmod 755 "$lab/noa/run"
controller_start
must policy_put < <(make_policy)
serve crypt 7443 7444
must node_enroll noa "$(token --user noa@roles.example)"
node_join crypt --tag crypt

note "who does not start"
check "the talking role as root" refused 1 "not for root" node noa role net
check "the talking role without a socket" refused 1 "needs the listening socket" on noa "${as_nobody[@]}" ztnode role net
check "the privileged role without a socket" refused 1 "needs the listening socket" node noa role kern
check "another role" refused 2 "no role" node noa role both

note "who is not let in"
must role_start kern seqpacket /run/ztnode/kern.sock root 0600
check "the socket is closed to others" denied is_closed_out
check "root is refused: it is not the talking role" is_answered closed 30
check "which is said" grep -q "refused a connection of uid 0" "$lab/kern.log"
must chown nobody "$lab/noa/run/kern.sock"

note "who is"
must role_start net stream /run/ztnode/control.sock root 0660 "${as_nobody[@]}"
nodes_ready noa crypt
crypt=${address[crypt]}
check "what is not granted does not pass, what is does" await 20 only_open 7443 noa tcp "$crypt" 7443 7444
check "the talking role is an ordinary user" denied is_line net Uid 0
check "without a capability" is_line net CapEff 0000000000000000
check "the privileged role has CAP_NET_ADMIN and nothing else" is_line kern CapEff 0000000000001000
check "and a filter of system calls" is_line kern Seccomp 2
check "a second connection waits, whoever it is" is_answered waits 2
check "also the talking role's own user's" is_answered waits 2 "${as_nobody[@]}"
check "and the first goes on" is_connected noa
check "a daemon by hand is refused" refused 1 "runs already with /var/lib/ztnode" node noa run

note "they live and die together"
must hold x noa "$crypt" 7443
check "the talking role is killed" lose net
check "the privileged role is killed" lose kern
check "the connection went on" is_held x
hold_end x
check "the talking role ends in order" stop net
role_ended() { ! role_is kern; }
check "and the privileged one with it" await 10 role_ended
