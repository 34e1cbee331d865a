# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# Several daemons on one machine, told apart by --state, --run, --interface alone: two in one network namespace, one
# in another. Each belongs to a network of its own controller or to the same; none touches the other's.
#
#      wan ------- ctl
#       |--------- box      two daemons: a (vpn-a) of ann@one.example, b (vpn-b) of bob@two.example
#       `--------- srv      tag:srv     tcp/6001 for ann, tcp/6002 for bob
#
# Overlay 10.240.0.0/16 of the one controller, 10.241.0.0/16 of the other.
LAB_NET4=172.20.5
. "$(dirname "$0")/lib.sh"

make_policy()
{
	cat <<-END
	[resource service]
	on    = tag:srv
	ports = tcp/$2
	[rule use]
	who  = user:$1
	what = resource:service
	why  = It is there to be used
	END
}

# MACHINE DAEMON WORDS...: that daemon's ztnode
of()
{
	local machine=$1 name=$2

	shift 2
	on "$machine" ztnode --state "$lab/$machine-$name/state" --run "$lab/$machine-$name/run" \
		--interface "vpn-$name" "$@"
}

start_of()
{
	local machine=$1 name=$2

	start "$machine-$name" "$machine" "$machine-$name.log" ztnode --state "$lab/$machine-$name/state" \
		--run "$lab/$machine-$name/run" --interface "vpn-$name" run
}

# In the foreground, for those that end at once.
run_of()
{
	local machine=$1 name=$2

	on "$machine" timeout -k 1 15 ztnode --state "$lab/$machine-$name/state" --run "$lab/$machine-$name/run" \
		--interface "vpn-$name" run
}

# Both controllers run in ctl, on ports of their own.
second_controller()
{
	local dir=$lab/ctl/var/second

	as_daemon ztcontroller init --dir "$dir" --url "https://$LAB_NET4.2:9443" --network 10.241.0.0/16
	start second ctl second.log "${daemon_user[@]}" ztcontroller serve --dir "$dir" --listen "$LAB_NET4.2:9443"
	await 20 grep -qx ready "$lab/second.log"
}

second_ctl()
{
	on ctl ztctl --admin "$lab/ctl/var/second/admin.key" "$@"
}

address_of()
{
	of "$1" "$2" status --json | jq -r '.device.addresses[0]'
}

connected()
{
	of "$1" "$2" status --json 2>/dev/null | jq -e .controller.connected >/dev/null
}

lab_start box srv
serve srv 6001 6002
controller_start --network 10.240.0.0/16
check "a second controller beside the first" second_controller
must policy_put < <(make_policy ann@one.example 6001)
make_policy bob@two.example 6002 >"$lab/second.ini"
must second_ctl policy put "$lab/second.ini" --why "second"

for machine in box srv; do
	mkdir -p "$lab/$machine-a" "$lab/$machine-b"
done
check "a enrols with the one" of box a enroll "$(token --user ann@one.example)" --name box
check "b enrols with the other" of box b enroll "$(second_ctl token create --user bob@two.example)" --name box
check "srv enrols with both" of srv a enroll "$(token --tag srv)"
check "srv enrols with both" of srv b enroll "$(second_ctl token create --tag srv)"
for name in a b; do
	for machine in box srv; do start_of "$machine" "$name"; done
done
for name in a b; do
	for machine in box srv; do check "$machine $name is connected" await 20 connected "$machine" "$name"; done
done
one=$(address_of srv a) two=$(address_of srv b)
check "addresses are of two networks" test "${one%.*.*} ${two%.*.*}" = "10.240 10.241"
check "ann reaches her service" await 10 reaches box tcp "$one" 6001
check "bob his" await 10 reaches box tcp "$two" 6002
check "and neither the other's" denied reaches box tcp "$one" 6002
check "and neither the other's" denied reaches box tcp "$two" 6001
check "nobody's plan changes what is the other's" test -z "$(of box a plan | grep -iv nothing)$(of box b plan | grep -iv nothing)"

note "down of one whose daemon is dead"
must stop box-b
check "it is taken down" of box b down
check "the other's unreachable route was never away" denied grep 'put right' "$lab/box-a.log"
check "nor is it now" says 'unreachable 10\.240' on box ip route show proto 122
start_of box b
check "up again" await 20 of box b up
check "it works" await 10 reaches box tcp "$two" 6002

note "two with the same range"
mkdir -p "$lab/box-c"
third=$(token --user ann@one.example)
check "enrolling where that range is in use is refused" refused 1 "another ztnode" of box c enroll "$third" --name box-c
check "down of one" of box a down
check "leaves the other alone" reaches box tcp "$two" 6002
check "its own interface is gone" denied on box ip link show vpn-a
check "the token was not spent: while a is down it enrols" of box c enroll "$third" --name box-c
check "up again" of box a up
check "both are there" await 10 reaches box tcp "$one" 6001
check "beside a the third does not run" refused 1 "another ztnode" run_of box c
check "it left no interface" denied on box ip link show vpn-c
check "a did not notice" reaches box tcp "$one" 6001
must stop box-a
start_of box a
check "a itself starts again, where it left its interface" await 20 connected box a
check "and reaches what it did" await 10 reaches box tcp "$one" 6001
check "the third leaves" ends_with 0 of box c leave
check "and takes nothing of a's with it" stays 2 reaches box tcp "$one" 6001

check "leave of one" of box a leave
check "leaves the other alone" reaches box tcp "$two" 6002
check "nothing was written to the usual folders" \
	test -z "$(find "$lab/box/state" "$lab/box/run" "$lab/srv/state" "$lab/srv/run" -mindepth 1)"
