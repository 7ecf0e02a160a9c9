#!/bin/sh
# Stands for a test program in the harness's own test: every way in which a test can end. Speaks as
# the Rust test framework does, and understands of its options --skip.
tests="passes fails proves_impossible hangs leaves_a_process sees_a_host warns dies_by_signal \
panics_the_kernel runs_after_the_panic"
if [ "$1" = empty ]; then
    echo "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out"
    exit 0
fi
while [ $# -gt 0 ]; do
    if [ "$1" = --skip ]; then
        skipped="$skipped $2 "
        shift
    fi
    shift
done

# What a test finds as it would on a host.
sees_a_host() {
    test "$(ulimit -n)" = 1048576 || return 1
    for folder in /sys/fs/bpf /sys/fs/cgroup /sys/kernel/tracing /proc /dev/shm; do
        grep -q " $folder " /proc/mounts || return 1
    done
    grep -q lastref-vm /proc/self/cgroup &&
        ping -c 1 -W 2 127.0.0.1 &&
        ip link add lastref0 type veth peer name lastref1 &&
        ip link del lastref0 &&
        bpftool prog
}

run() {
    case "$1" in
    fails) false ;;
    proves_impossible) echo "IMPOSSIBLE: proves_impossible: this kernel is too old" ;;
    hangs) sleep 1000 ;;
    leaves_a_process) sleep 1000 & ;;
    sees_a_host) sees_a_host ;;
    warns) echo '<4>WARNING: CPU: 0 PID: 1 at fake-tests.sh' >/dev/kmsg ;;
    dies_by_signal) kill -SEGV $$ ;;
    panics_the_kernel)
        # What was written before must have left the machine.
        sleep 1
        echo c >/proc/sysrq-trigger
        sleep 1000
        ;;
    esac
}

passed=0
failed=0
failures=
for name in $tests; do
    case "$skipped" in *" $name "*) continue ;; esac
    printf 'test %s ... ' "$name"
    if run "$name"; then
        echo ok
        passed=$((passed + 1))
    else
        echo FAILED
        failed=$((failed + 1))
        failures="$failures    $name
"
    fi
done
if [ $failed = 0 ]; then
    echo "test result: ok. $passed passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"
else
    printf '\nfailures:\n\nfailures:\n%s\n' "$failures"
    echo "test result: FAILED. $passed passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"
    exit 101
fi
