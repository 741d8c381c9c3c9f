#!/bin/sh
# Removes one path, says so, and idles until it is told to end.
#
# A DaemonSet wants its pods to keep running, so the end of the work is a word in the log and not
# the end of the process. The word comes last: whoever reads it may stop this container at once.
set -eu

nap=
finish() {
	[ -z "$nap" ] || kill "$nap" 2>/dev/null || :
	exit 0
}
# As process 1 of the container we get no default action for TERM.
trap finish TERM INT

if [ $# -ne 1 ] || [ -z "$1" ]; then
	echo "usage: cleanup PATH" >&2
	exit 64
fi

rm -rf -- "$1"
echo "done"

# A shell handles a signal only between commands, but `wait` it leaves at once.
while :; do
	sleep 3600 &
	nap=$!
	wait "$nap" || :
done
