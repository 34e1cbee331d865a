# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Somebody answers in the controller's place: with nonsense under the controller's own key, or with another key.
# Enrolment fails with one clear line and keeps nothing; a running node keeps what it has until the lease ends, and recovers.
#
#      wan ------- ctl      the controller, or tests/lab/fake_controller.py at its address
#       |--------- eve      tries to enrol
#       |--------- rui      enrolled, laptop of rui@port.example
#       `--------- dock     enrolled, tag:dock     tcp/8080
#
# limit: 280
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-'END'
	[network]
	lease = 10m
	[resource docks]
	on    = tag:dock
	ports = tcp/8080
	[rule land]
	who  = user:rui@port.example
	what = resource:docks
	why  = Ships have to land
	END
}

fake()
{
	local mode=$1 certificate=$2 key=$3

	: >"$lab/fake.out"
	start fake ctl fake.out python3 "$project/tests/lab/fake_controller.py" "$LAB_NET4.2" "$LAB_PORT" \
		"$certificate" "$key" "$mode"
	must await 15 grep -qx ready "$lab/fake.out"
}

# In the controller's place, with its key: what eve's enrolment says, and rui's access goes on.
impostor()
{
	local mode=$1 status=$2 words=$3

	fake "$mode" "$lab/ctl/var/c/tls.crt" "$lab/ctl/var/c/tls.key"
	check "$mode: enrolment ends with one clear line" \
		refused "$status" "$words" soon eve ztnode enroll "$token"
	check "$mode: ztctl too" refused "$status" "$words" soon ctl ztctl device list
	check "$mode: access goes on" reaches rui tcp "$dock" 8080
	check "$mode: the daemon lives" is_running rui
	stop fake || true
}

# MACHINE COMMAND...: not for ever
soon()
{
	local machine=$1

	shift
	on "$machine" timeout 60 "$@"
}

# Far less than 10 GB was taken.
took_little()
{
	local sent

	await 10 grep -q '^sent' "$lab/fake.out" || return 1
	sent=$(sed -n 's/^sent //p' "$lab/fake.out" | sort -n | tail -n 1)
	echo "sent $sent"
	[ "$sent" -lt $((64 << 20)) ]
}

# Of an enrolment: neither keys nor an answer.
keeps_nothing()
{
	local found

	found=$(find "$lab/$1/state" -type f ! -name lock)
	echo "there: $found"
	[ -z "$found" ]
}

lab_start eve rui dock
serve dock 8080
controller_start
must policy_put < <(make_policy)
node_join rui --user rui@port.example
node_join dock --tag dock
nodes_ready rui dock
dock=${address[dock]}
check "rui lands" await 10 reaches rui tcp "$dock" 8080
token=$(token --user eve@port.example)
stop controller KILL || true

check "nobody there: exit code 3" refused 3 'reach|connect' node_enroll eve "$token"
check "ztctl too" refused 3 'reach|connect' ztctl device list
impostor plain 3 'TLS|reach|connect'
impostor close 3 'reach|connect|closed|TLS|answer'
impostor html '1' 'controller|answer|JSON'
impostor badjson '1' 'controller|answer|challenge|JSON'
impostor redirect '1' 'controller|answer|302|redirect'
impostor garbage 3 'controller|answer|HTTP|reach'
impostor nothing 3 'answer|time|reach'

fake huge "$lab/ctl/var/c/tls.crt" "$lab/ctl/var/c/tls.key"
check "huge: enrolment ends with one clear line" \
	refused 1 'controller|answer|large|big|limit' soon eve ztnode enroll "$token"
check "huge: only a little of it was taken" took_little
check "huge: access goes on" reaches rui tcp "$dock" 8080
stop fake || true

fake network "$lab/ctl/var/c/tls.crt" "$lab/ctl/var/c/tls.key"
check "another network key than the token's: enrolment ends with one clear line" \
	refused 1 'another network key' soon eve ztnode enroll "$token"
check "another network key: nothing of it is kept" keeps_nothing eve
stop fake || true

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=ctl \
	-addext "subjectAltName=IP:$LAB_NET4.2" -keyout "$lab/own.key" -out "$lab/own.crt" 2>/dev/null
fake badjson "$lab/own.crt" "$lab/own.key"
check "another key: refused, and the line says so" refused 1 'key|controller' node_enroll eve "$token"
check "another key: ztctl too" refused 1 'key|controller' ztctl device list
check "another key: access goes on" reaches rui tcp "$dock" 8080
stop fake || true

check "eve's token was not spent by all this" must controller_serve
check "it enrols" node_enroll eve "$token"
check "the nodes find the controller again" await 60 is_connected rui
check "the log is unbroken" ztctl audit verify
