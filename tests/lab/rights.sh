# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# What each process may, and what is never written: rights of the two roles, the control socket, secrets.
#
#      wan ------- ctl
#       |--------- pia     laptop of pia@rights.example
#       `--------- vault   tag:vault   tcp/7443
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[resource vault]
	on    = tag:vault
	ports = tcp/7443
	[rule pia-to-vault]
	who  = user:pia@rights.example
	what = resource:vault
	why  = She keeps the keys
	END
}

# of a role: a line of /proc/PID/status
status_of()
{
	awk -v key="$2:" '$1 == key { print $2; exit }' "/proc/$(role_pid pia "$1")/status"
}

is_line()
{
	[ "$(status_of "$1" "$2")" = "$3" ]
}

# The secret inside a token or credential, as bytes and as it is typed, in none of these files.
is_nowhere()
{
	python3 - "$@" <<-'END'
	import base64, sys
	text = sys.argv[1].split("_", 1)[1]
	raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
	secret = raw[-36:-4]
	forms = [secret, text[-60:].encode(), secret.hex().encode(), base64.urlsafe_b64encode(secret).rstrip(b"=")]
	for name in sys.argv[2:]:
	    data = open(name, "rb").read()
	    for form in forms:
	        if form in data:
	            sys.exit(name + " has it")
	END
}

keys_are_nowhere()
{
	python3 - "$@" <<-'END'
	import base64, sys
	for key in sys.argv[1:3]:
	    secret = open(key, "rb").read()
	    for name in sys.argv[3:]:
	        data = open(name, "rb").read()
	        if secret in data or base64.b64encode(secret) in data or secret.hex().encode() in data:
	            sys.exit(name + " has " + key)
	END
}

lab_start pia vault
controller_start
must policy_put < <(make_policy)
secret=$(token --user pia@rights.example)
must node_enroll pia "$secret"
must node_start pia --log debug
node_join vault --tag vault
nodes_ready pia vault
serve vault 7443
check "it works" await 10 reaches pia tcp "${address[vault]}" 7443

note "the privileged role"
check "has CAP_NET_ADMIN and nothing else" is_line kern CapEff 0000000000001000
check "and can never have more" is_line kern CapBnd 0000000000000000
check "no new privileges" is_line kern NoNewPrivs 1
check "a filter of system calls" is_line kern Seccomp 2
note "the talking role"
check "is an ordinary user" denied is_line net Uid 0
check "without a capability" is_line net CapEff 0000000000000000
check "and can never have one" is_line net CapBnd 0000000000000000
check "no new privileges" is_line net NoNewPrivs 1
check "a filter of system calls" is_line net Seccomp 2
uid=$(status_of net Uid)
check "cannot read the keys" denied setpriv --reuid "$uid" --clear-groups cat "$lab/pia/state/identity.key"
check "nor list them" denied setpriv --reuid "$uid" --clear-groups find "$lab/pia/state" -name identity.key

note "who may command"
chmod 755 "$lab/pia/run" # as /run/ztnode is: it is the socket's own mode that keeps others out
check "the socket is root's, and closed to others" test "$(stat -c '%U %a' "$lab/pia/run/control.sock")" = "root 660"
check "nobody else gets in" denied setpriv --reuid 12345 --regid 12345 --clear-groups python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
try: s.connect(sys.argv[1])
except PermissionError: sys.exit(1)' "$lab/pia/run/control.sock"

# Raw, past the command line's own checks: VERB, as a member of the socket's group; prints the answer.
as_member()
{
	setpriv --reuid 12345 --regid 12345 --groups "$group" python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(("{\"verb\":\"" + sys.argv[2] + "\"}\n").encode())
answer = b""
while part := s.recv(65536): answer += part
print(answer.decode())' "$lab/pia/run/control.sock" "$1"
}

is_of_group()
{
	[ "$(stat -c '%U %g %a' "$lab/pia/run/control.sock")" = "root $group 660" ]
}

note "a member of the group that may look"
must node_stop pia
group=$(id -g daemon)
node_start pia --user daemon
check "the socket is that group's" await 10 is_of_group
check "it works" await 10 reaches pia tcp "${address[vault]}" 7443
for verb in down leave up plan; do
	check "$verb is refused: root alone may" says '"ok": ?false.*only root' as_member "$verb"
done
check "no such command either" says '"ok": ?false.*does not know' as_member forget
for verb in status posture; do
	check "$verb is answered" says '"ok": ?true' as_member "$verb"
done
check "nor does the command line do it" refused 1 'root|permission|privilege' \
	on pia setpriv --reuid 12345 --regid 12345 --groups "$group" ztnode down
check "all is as it was: it works" reaches pia tcp "${address[vault]}" 7443
check "it is up" has pia .enforced

note "nobody from outside"
check "no TCP port is listened on" test -z "$(on pia ss -Hltn)"

note "secrets"
logs=("$lab"/*.log)
database=("$lab"/ctl/var/c/controller.db*)
check "the token's is in no log" is_nowhere "$secret" "${logs[@]}"
check "nor in the database" is_nowhere "$secret" "${database[@]}"
check "the admin's is in no log" is_nowhere "$(cat "$ZTCTL_ADMIN")" "${logs[@]}"
check "nor in the database" is_nowhere "$(cat "$ZTCTL_ADMIN")" "${database[@]}"
check "the device's keys are nowhere but in their files" \
	keys_are_nowhere "$lab/pia/state/identity.key" "$lab/pia/state/wireguard.key" "${logs[@]}" "${database[@]}"
check "the log is unbroken" ztctl audit verify
