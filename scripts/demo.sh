#!/usr/bin/env bash
# A leak, and what lastref says about it: `make demo` builds the program and calls this.
# Everything ends with this script, however it ends: the lab stops when nobody reads it any more.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
lastref=${LASTREF_BIN:-$here/target/release/lastref}
lab=

fail() {
    echo "demo: $1" >&2
    exit "${2:-2}"
}

[ -x "$lastref" ] || fail "$lastref is not built yet: make demo builds it and comes back here"
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "reading every reference takes root, and there is no sudo: run it as root" 3
    echo "Reading every reference takes root: sudo may ask for your password."
    exec sudo env LASTREF_BIN="$lastref" bash "$0"
fi
# lastref looks for the width of the terminal itself; elsewhere this is the width.
[ -t 1 ] || export COLUMNS="${COLUMNS:-80}"

# Ends only what was started here, and waits until it is gone.
finish() {
    status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$lab" ]; then
        kill -TERM "$lab" 2>/dev/null || true
        if wait "$lab" 2>/dev/null; then
            echo "demo: ended early; the lab's process and its map are gone" >&2
        fi
    fi
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# What the lab says next, in $line; fails after ten seconds, or when it has ended.
hear() {
    IFS= read -r -t 10 line <&3
}

# Waits until the lab has counted once more than before.
counted() {
    while hear; do
        case $line in
            "raw-fd: "*" leaked") return ;;
            "raw-fd: "*) echo "$line" ;;
        esac
    done
    fail "the lab does not go on"
}

say() {
    printf '\n%s' "$1"
    shift
    printf '\n   %s' "$@"
    echo
}

show() {
    printf '\n$ lastref %s\n' "$*"
    "$lastref" "$@"
}

say "1. A process leaks" \
    "It opens a pinned map 20 times a second and never closes what it gets."
printf '\n$ lastref lab run raw-fd --rate 20 --for 2m &\n'
exec 3< <(exec "$lastref" lab run raw-fd --rate 20 --for 2m)
lab=$!

if ! hear; then
    # It has said why.
    status=0
    wait "$lab" || status=$?
    lab=
    exit "$status"
fi
first='^raw-fd: pid ([0-9]+), map:([0-9]+) '
[[ $line =~ $first ]] || fail "the lab said: $line"
pid=${BASH_REMATCH[1]} map=${BASH_REMATCH[2]}
echo "$line"
counted
echo "$line"

say "2. What does it hold?" \
    "One map, by many references. Its REFS are the kernel's own count."
show ls --pid "$pid"

say "3. The same, three seconds later" \
    "No new object, so a list of maps shows nothing. Only the references grow."
counted; counted; counted
show ls --pid "$pid"

say "4. Why is the map still there?" \
    "Every reference has its holder; also the pin, which is in the process's own" \
    "mount namespace, where no \`ls\` on this host finds it."
show why "map:$map"

say "5. The process ends" "Its descriptors go with it, and its bpffs with the pin."
printf '\n$ kill %s\n' "$lab"
kill -TERM "$lab"
while hear; do
    case $line in
        "raw-fd: "*) echo "$line" ;;
    esac
done
wait "$lab" || fail "the lab's map has not gone (see above)" 1
lab=

say "6. What has stayed behind?" "Nothing: the number leads nowhere any more."
printf '\n$ lastref why map:%s\n' "$map"
if "$lastref" why "map:$map" 2>&1; then
    fail "map:$map is still there" 1
fi

run="${SUDO_USER:+sudo }${lastref#"$PWD/"}"
cat <<END

Try next:
  all objects of this host
    $run ls
  what nothing but a pin keeps
    $run ls --orphans
  the leak again, to look at it yourself
    $run lab run raw-fd
END
