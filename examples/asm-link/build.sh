#!/bin/sh
# Assembles two modules, links them with three outputs and runs the result, as one call: no object file is ever on a disk.
#   build.sh [DIRECTORY]    where the outputs go (default: here)
set -eu
to=$(realpath "${1:-.}")
cd "$(dirname "$0")"
exec "${SPILE:-spile}" run \
    'ca65 {<primes.s} -o {>primes.o}' \
    'ca65 {<print.s} -o {>print.o}' \
    'ld65 -C {<sim65.cfg} {<primes.o} {<print.o} -o {>primes.bin} -m {>primes.map} -Ln {>primes.lbl}' \
    'sim65 {<primes.bin} >{primes.txt}' \
    primes.txt="$to/primes.txt" primes.map="$to/primes.map" primes.lbl="$to/primes.lbl" \
    -o primes.bin="$to/primes.bin"
