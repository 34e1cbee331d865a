# shellcheck shell=bash
# A talking role that was taken over, against the real privileged role and the kernel: hostile.c tells the story.
set -euo pipefail

cd "$(dirname "$(readlink -f "$0")")/../.."
build=${B:-build}
ip link set dev lo up
CMOCKA_MESSAGE_OUTPUT=TAP exec "$build/tests/lab/hostile" "$build/ztnode"
