#!/bin/bash
# make install into an empty folder: what is there, that it starts, that what the units name is among it, that
# the manual can be read; and make uninstall.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
build=${B:-build}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
prefix=/opt/zt
failed=0

check()
{
	local what=$1

	shift
	if "$@" >"$root/log" 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what"
		sed 's/^/# /' "$root/log"
		failed=1
	fi
}

make_it()
{
	make --no-print-directory "B=$build" "DESTDIR=$root/dest" "PREFIX=$prefix" "$1"
}

# Program's first word and a version, nothing else.
tells_version()
{
	"$root/dest$prefix/bin/$1" --version | grep -xE "$1 [0-9]+\.[0-9]+\.[0-9]+" >/dev/null
}

# What a unit starts is what we put there; what it makes itself are systemd's own folders.
unit_is_at_home()
{
	local unit=$root/dest$prefix/lib/systemd/system/$1 word

	! grep -nE '@[a-z]+@' "$unit" || return 1
	for word in $(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit"); do
		[ -x "$root/dest$word" ] || { echo "not installed: $word"; return 1; }
	done
	for word in $(sed -nE 's/^(Requires|PartOf)=//p' "$unit"); do
		[ -f "$(dirname "$unit")/$word" ] || { echo "not installed: $word"; return 1; }
	done
	for word in $(sed -n 's/^Documentation=//p' "$unit"); do
		page_exists "$word" || { echo "not installed: $word"; return 1; }
	done
}

# man:NAME(SECTION)
page_exists()
{
	local name=${1#man:} section

	section=${name##*(}
	section=${section%)}
	[ -f "$root/dest$prefix/share/man/man$section/${name%(*}.$section" ]
}

# Every user of a unit is one that systemd-sysusers would make.
users_are_made()
{
	local user

	for user in $(sed -nE 's/^(User|Group|SupplementaryGroups|SocketUser|SocketGroup)=//p' packaging/*.service packaging/*.socket); do
		[ "$user" != root ] || continue
		grep -qE "^u $user " "$root/dest$prefix/lib/sysusers.d/ztnode.conf" || { echo "nobody makes $user"; return 1; }
	done
}

# Warnings of groff, or of mandoc (which minds style only, not where other pages are).
page_is_clean()
{
	if command -v mandoc >/dev/null; then
		mandoc -Tlint -Wwarning "$1"
	elif command -v man >/dev/null; then
		[ -z "$(LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l "$1" 2>&1 >/dev/null | tee /dev/stderr)" ]
	fi
}

# Every option that the program knows stands in its page.
page_has_options()
{
	local option

	for option in $("$root/dest$prefix/bin/$1" --help | grep -oE -- '--[a-z-]+' | sort -u); do
		grep -qF -- "-${option#--}" "$2" || { echo "not in the manual: $option"; return 1; }
	done
}

nothing_is_left()
{
	[ -z "$(find "$root/dest" -type f)" ] || { find "$root/dest" -type f; return 1; }
}

check "make install" make_it install
for program in ztcontroller ztctl ztnode; do
	check "$program starts" tells_version "$program"
	check "completion of $program is bash" bash -n "$root/dest$prefix/share/bash-completion/completions/$program"
done
for unit in packaging/*.service packaging/*.socket; do
	unit=${unit##*/}
	check "$unit names what is installed" unit_is_at_home "$unit"
done
check "users of the units are made" users_are_made
for page in "$root/dest$prefix"/share/man/man?/*; do
	check "$(basename "$page") is clean" page_is_clean "$page"
done
check "ztcontroller(8) has every option" page_has_options ztcontroller "$root/dest$prefix/share/man/man8/ztcontroller.8"
check "ztnode(8) has every option" page_has_options ztnode "$root/dest$prefix/share/man/man8/ztnode.8"
check "ztctl(1) has every option" page_has_options ztctl "$root/dest$prefix/share/man/man1/ztctl.1"
check "make uninstall" make_it uninstall
check "and nothing is left" nothing_is_left
exit "$failed"
