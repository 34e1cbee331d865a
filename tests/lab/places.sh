# shellcheck shell=bash disable=SC1091,SC2034,SC2154
# A grant for a place holds while the device's connection comes from there: a laptop that moves to another network loses it,
# an open connection with it, and gets it back at home. Who never connected is nowhere.
#
#      wan ------- ctl      countries: 192.0.2 DE, 198.51.100 AT, 203.0.113 not known
#       |--------- lin      laptop of lin@place.example, at 192.0.2, then 198.51.100, 203.0.113 and back
#       |--------- new      another of hers: enrolled, never started
#       `--------- files    tag:files    tcp/7001 office, 7002 Austria, 7003 anywhere, 7004 not from abroad, 7005 not from Austria
#
# limit: 360
. "$(dirname "$0")/lib.sh"

make_policy()
{
	local port

	for port in 7001 7002 7003 7004 7005; do
		printf '[resource p%s]\non = tag:files\nports = tcp/%s\n' "$port" "$port"
	done
	cat <<-'END'
	[place office]
	source = 192.0.2.0/24
	[place abroad]
	source = 203.0.113.0/24
	[rule at-the-office]
	who   = user:lin@place.example
	what  = resource:p7001
	where = place:office
	why   = Paper is there
	[rule in-austria]
	who   = user:lin@place.example
	what  = resource:p7002
	where = country:AT
	why   = Its law says so
	[rule anywhere]
	who  = user:lin@place.example
	what = resource:p7003, resource:p7004
	why  = The timetable
	[rule not-from-abroad]
	action = deny
	who    = anyone
	what   = resource:p7004
	where  = place:abroad
	why    = Foreign law
	[rule not-in-austria]
	who    = user:lin@place.example
	what   = resource:p7005
	except = country:AT
	why    = Other law
	END
}

why_not()
{
	ends_with 4 ztctl explain "$1" files "tcp/$2"
}

opens()
{
	only_open "$1" lin -t 1500 tcp "$files" 7001-7005
}

# WHAT, its new address, what is open there; of the connections held the first has to end, the second goes on.
moves()
{
	local what=$1 to=$2 open=$3 lost=$4 asked

	check "$what: two connections are open" hold lost lin "$files" "$lost"
	check "$what: the other too" hold kept lin "$files" 7003
	now_us
	asked=$now
	must move lin "$to"
	check "$what: the one that asks for the place is cut" await 30 is_cut lost
	note "$what: the last byte passed $((($(cut_at lost) - asked) / 1000)) ms after it moved"
	check "$what: exactly what holds there is open" await 30 opens "$open"
	check "$what: the other connection goes on" await 30 is_held kept
	check "$what: the device is where the controller says" says "$to|active" ztctl device show lin
	hold_end lost
	hold_end kept
	note "$what: the other connection was silent for $gap ms"
}

lab_start lin new files
wan_also 198.51.100 203.0.113
serve files 7001-7005
know_countries
controller_start
node_join lin --user lin@place.example
node_join files --tag files
must node_enroll new "$(token --user lin@place.example)"
nodes_ready lin files
files=${address[files]}

check "before any policy nothing is open" opens ""
must policy_put < <(make_policy)
check "a tunnel stands" await 10 reaches lin tcp "$files" 7003
note "it leads to $(get lin '.peers[0].endpoint')"
must move lin 192.0.2.11
uptime_ms
began=$uptime
check "without the IPv6 address that it led from it finds another way" await 60 reaches lin tcp "$files" 7003
uptime_ms
note "after $((uptime - began)) ms"
check "who never connected is at no place" says "where: place:office \(is not known\)|not known" why_not new 7001
check "nor in a country" says "not known" why_not new 7002
check "nor out of one" says "not known" why_not new 7005
check "a deny about a place holds for who is nowhere" says "rule not-from-abroad denies" why_not new 7004
check "what asks for no place is granted" ztctl explain new files tcp/7003

check "at the office" await 10 opens "7001 7003 7004 7005"
check "explain: why not in Austria" says "192\.0\.2\.[0-9]+ \(DE\)" why_not lin 7002
moves "to Austria" 198.51.100.21 "7002 7003 7004" 7001
check "explain names the place and where the device is" says "where: place:office.*198\.51\.100\.21 \(AT\)" why_not lin 7001
moves "to where nobody knows the country" 203.0.113.21 "7003" 7002
check "explain: the deny of that place" says "rule not-from-abroad denies" why_not lin 7004
check "explain: a country that is not known satisfies nothing" says "not known for 203\.0\.113\.21" why_not lin 7005
must move lin 192.0.2.11
check "back at the office all is as it was" await 30 opens "7001 7003 7004 7005"

note "the controller is killed and started again: a place is known again with the device's connection"
check "a connection is open" hold x lin "$files" 7001
stop controller KILL || true
must controller_serve
nodes_ready lin files
check "access by place" await 10 opens "7001 7003 7004 7005"
check "the connection goes on, or ended" await 10 goes_on_or_ended x
hold_end x
note "the longest silence was $gap ms"

note "a device that takes its leave of the controller, and keeps its kernel: after a minute nobody knows where it is"
check "a connection is open" hold x lin "$files" 7001
node_kill lin
check "it goes on for a while: connections come and go" stays 10 is_held x
check "then it is cut by the other end" await 100 is_cut x
check "explain: its place is not known" says "where: place:office.*not known" why_not lin 7001
check "what asks for no place is still granted" reaches lin tcp "$files" 7003
check "a deny about a place holds" denied reaches lin tcp "$files" 7004
hold_end x
node_start lin
check "it comes back" await 20 opens "7001 7003 7004 7005"
check "the log is unbroken" ztctl audit verify
