#!/bin/sh
# What runs under the watch of `cargo xtask wild`, in its machine: every tool of libbpf-tools, and
# bpftrace, all at once, and besides a few that are started anew all the time, while files are written,
# programs started and loopback connections made. The argument: for how many seconds, once all have started.
#
# Says what it does in lines that begin with "wild"; the tools' own output is in /wild/out.
seconds=$1
mkdir -p /wild/out /wild/disk /wild/www

# A name that is not that of another run, then the tool and its arguments.
list() {
    cat <<'END'
bashreadline bashreadline -s /bin/bash
bindsnoop bindsnoop
biolatency biolatency 5
biopattern biopattern 5
biosnoop biosnoop
biostacks biostacks
biotop biotop 5
bitesize bitesize
btrfsdist btrfsdist 5
btrfsslower btrfsslower -m 1
cachestat cachestat 2
capable capable
cpudist cpudist 5
cpufreq cpufreq
drsnoop drsnoop
execsnoop execsnoop
exitsnoop exitsnoop
ext4dist ext4dist 5
ext4slower ext4slower -m 1
filelife filelife
filetop filetop 5
fsdist fsdist -t ext4 5
fsslower fsslower -t ext4 -m 1
funclatency funclatency -i 5 vfs_read
gethostlatency gethostlatency
hardirqs hardirqs 5
killsnoop killsnoop
klockstat klockstat -n 3 -i 30
ksnoop ksnoop trace vfs_fsync_range
llcstat llcstat 600
mdflush mdflush
mountsnoop mountsnoop
nfsdist nfsdist 5
nfsslower nfsslower -m 1
numamove numamove
offcputime offcputime 600
oomkill oomkill
opensnoop opensnoop
readahead readahead
runqlat runqlat 5
runqlen runqlen 5
runqslower runqslower 100000
sigsnoop sigsnoop
slabratetop slabratetop 5
softirqs softirqs 5
solisten solisten
statsnoop statsnoop
syscount syscount -i 5
tcpconnect tcpconnect
tcpconnlat tcpconnlat
tcplife tcplife
tcprtt tcprtt -i 5
tcpstates tcpstates
tcpsynbl tcpsynbl 5
tcptop tcptop 5
tcptracer tcptracer
vfsstat vfsstat 2
wakeuptime wakeuptime 600
xfsdist xfsdist 5
xfsslower xfsslower -m 1
END
    # Kernel and user functions by kprobe, kretprobe, fentry and uprobe: what the host may refuse.
    if [ -x /wild/bin/bpftrace ]; then
        cat <<'END'
bpftrace-kprobe bpftrace -e kprobe:vfs_read,kprobe:vfs_write{@[func]=count();}interval:s:5{print(@);}
bpftrace-latency bpftrace -e kprobe:vfs_read{@s[tid]=nsecs;}kretprobe:vfs_read{@ns=hist(nsecs-@s[tid]);delete(@s[tid]);}
bpftrace-kfunc bpftrace -e kfunc:vfs_fsync_range{@[kstack]=count();}
bpftrace-uprobe bpftrace -e uprobe:/bin/bash:readline{@=count();}
END
    fi
}

load() {
    busybox httpd -f -p 127.0.0.1:8000 -h /wild/www &
    server=$!
    head -c 65536 /dev/zero >/wild/www/file
    while [ ! -e /wild/stop ]; do
        dd if=/dev/zero of=/wild/disk/file bs=16k count=16 conv=fsync 2>/dev/null
        cat /wild/disk/file >/dev/null
        mkdir -p /wild/disk/folder
        mv /wild/disk/file /wild/disk/folder
        rm -r /wild/disk/folder
        busybox wget -q -O /dev/null http://127.0.0.1:8000/file
        sleep 1
    done
    kill "$server"
}

# Ends one, as a person would: by SIGINT, and by force if that does nothing. More than once: a shell
# starts what runs beside it with SIGINT ignored, so that it is lost until the tool has a handler.
end() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -INT "$1" 2>/dev/null || return 0
        sleep 1
    done
    echo "wild: $2 does not end at SIGINT"
    kill -KILL "$1" 2>/dev/null
}

now() {
    cut -d. -f1 /proc/uptime
}

again="capable filelife fsdist funclatency tcpconnect solisten vfsstat"
PATH=/wild/bin:$PATH
for module in /wild/modules/*; do
    busybox insmod "$module" || echo "wild: no module $module"
done
# ext4 on a device with requests; a journal is not needed.
dd if=/dev/zero of=/wild/image bs=1M count=32 2>/dev/null
loop=$(busybox losetup -f) && busybox losetup "$loop" /wild/image &&
    busybox mke2fs "$loop" >/dev/null && busybox mount -t ext4 "$loop" /wild/disk ||
    echo "wild: no ext4"
load &
loader=$!
# What does leak, one handle a second: else "nothing is said" would prove nothing.
lastref lab run raw-fd --rate 1 --for 60m >/wild/out/control 2>&1 &
control=$!

started=$(now)
set -f
list >/wild/list
while read -r name program arguments; do
    # Split at spaces, and nowhere else: no program of bpftrace's has one.
    $program $arguments >/wild/out/"$name" 2>/wild/out/"$name".err &
    echo "$! $name" >>/wild/steady
    sleep 0.2
done </wild/list

# Those that cannot run here end by themselves, after they have read the kernel's types.
sleep 20
# Few, so that each has its turn several times: of kprobes, fentry and a function that is looked up.
: >/wild/again
for name in $again; do
    pid=$(sed -n "s/ $name$//p" /wild/steady)
    if kill -0 "$pid" 2>/dev/null; then
        grep "^$name " /wild/list >>/wild/again
    fi
done
echo "wild: all started after $(($(now) - started)) s"

from=$(now)
while [ $(($(now) - from)) -lt "$seconds" ]; do
    while read -r name program arguments; do
        [ $(($(now) - from)) -lt "$seconds" ] || break
        $program $arguments >/dev/null 2>&1 &
        once=$!
        sleep 3
        end "$once" "$name, a second time,"
        restarts=$((${restarts:-0} + 1))
    done </wild/again
    sleep 1
done
echo "wild: ${restarts:-0} times one more was started and ended"
uptime=$(($(now) - from))

while read -r pid name; do
    if kill -0 "$pid" 2>/dev/null; then
        echo "$pid $name" >>/wild/ran
    else
        echo "wild-ended $name: $(tail -n 1 /wild/out/"$name".err)"
    fi
done </wild/steady
# All at once: each takes a while to detach.
while read -r pid name; do
    kill -INT "$pid"
done </wild/ran
while read -r pid name; do
    end "$pid" "$name"
    echo "wild-ran $name $(wc -l </wild/out/"$name")"
done </wild/ran
end "$control" "the control"
touch /wild/stop
wait "$loader"
umount /wild/disk
echo "wild: $uptime s"
