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

# What the lab says next, in $line; fails after ten seconds (or as many as are named), or when it
# has ended.
hear() {
    IFS= read -r -t "${1:-10}" line <&3
}

# Waits until the lab has counted once more than before.
counted() {
    while hear; do
        case $line in
            "$scenario: "*" leaked" | "$scenario: "*" steps; "*) return ;;
            "$scenario: "*) echo "$line" ;;
        esac
    done
    fail "the lab does not go on"
}

# A Go program if there is a Go to build it with; else the scenario that lastref has in itself.
if PATH=$PATH:/usr/local/go/bin command -v go >/dev/null; then
    scenario=go-cache-grows
else
    scenario=raw-fd
fi

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

# What there is to say depends on what leaks.
if [ "$scenario" = raw-fd ]; then
    leaks=("It opens a pinned map 20 times a second and never closes what it gets.")
    holds=("One map, by many references. Its REFS are the kernel's own count.")
    grows=("No new object, so a list of maps shows nothing. Only the references grow.")
    account=("Every reference has its holder; also the pin, which is in the process's own"
        "mount namespace, where no \`ls\` on this host finds it.")
    ends="Its descriptors go with it, and its bpffs with the pin."
else
    leaks=("A Go agent makes a map for each of 20 connections a second, and keeps it in a"
        "package variable that nobody prunes. (Building it may download its library.)")
    holds=("Many maps of one name, each by one descriptor.")
    grows=("The names are the same, the number grows.")
    account=("One reference: a descriptor of the agent. Which Go object owns that, and what"
        "keeps it reachable, is for lastref explain, which is to come.")
    ends="Its descriptors go with it, and the maps with them."
fi

say "1. A process leaks" "${leaks[@]}"
printf '\n$ lastref lab run %s --rate 20 --for 2m &\n' "$scenario"
exec 3< <(exec "$lastref" lab run "$scenario" --rate 20 --for 2m)
lab=$!

if ! hear 600; then
    # It has said why.
    status=0
    wait "$lab" || status=$?
    lab=
    exit "$status"
fi
[[ $line =~ ^"$scenario: pid "([0-9]+) ]] || fail "the lab said: $line"
pid=${BASH_REMATCH[1]} map=
[[ ! $line =~ map:([0-9]+) ]] || map=${BASH_REMATCH[1]}
echo "$line"
counted; counted
echo "$line"

say "2. What does it hold?" "${holds[@]}"
show ls --pid "$pid"

say "3. The same, three seconds later" "${grows[@]}"
counted; counted; counted
show ls --pid "$pid"

if [ -z "$map" ]; then
    # The newest one of the agent's.
    map=$("$lastref" ls --pid "$pid" --json | grep -o '"kind":"map","id":[0-9]*' | tail -n 1)
    map=${map##*:}
fi
say "4. Why is the map still there?" "${account[@]}"
show why "map:$map"

say "5. The process ends" "$ends"
printf '\n$ kill %s\n' "$lab"
kill -TERM "$lab"
while hear; do
    case $line in
        "$scenario: "*) echo "$line" ;;
    esac
done
wait "$lab" || fail "something of the lab's has not gone (see above)" 1
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
    $run lab run $scenario
  other leaks, and look-alikes that are none
    $run lab list
END
