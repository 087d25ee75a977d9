#!/bin/sh
# Runs an example as a test: `run.sh PROGRAM INPUT EXPECTED` compares what it writes, as a shell pattern.
got=$(printf '%b' "$2" | "$1" | tr '\0\n' '.,') || exit 1
# shellcheck disable=SC2254 # it is a pattern
case $got in
$3) exit 0 ;;
esac
echo "got '$got', expected '$3'"
exit 1
