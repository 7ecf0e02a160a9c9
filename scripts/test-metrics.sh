#!/usr/bin/env bash
# What is in deploy/, checked by promtool; and a real Prometheus and a real node_exporter that read a
# running watch, which sees a leak. `make test-metrics` builds the program and calls this. Needs root.
#
# Prometheus is Debian's, taken out of its package into .cache: installed, it would start a service.
# All that is started here ends with this script, however it ends.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
lastref=${LASTREF_BIN:-$here/target/release/lastref}
tools=$here/.cache/prometheus
work=
pids=()

fail() {
    echo "test-metrics: $*" >&2
    [ -z "$work" ] || tail -n 20 "$work"/*.log >&2 || true
    exit 1
}

# Takes a package's files, unless its program is there.
fetch() {
    local program=$1 package=$2
    command -v "$program" >/dev/null && return
    (
        mkdir -p "$tools/packages"
        cd "$tools/packages"
        apt-get -qq -o APT::Sandbox::User=root download "$package"
        dpkg-deb -x "$package"_*.deb "$tools"
    ) || fail "no $program, and apt cannot download $package; if the package lists are old: apt-get update"
}

[ -x "$lastref" ] || fail "$lastref is not built yet: make test-metrics builds it and comes back here"
PATH=$PATH:$tools/usr/bin
fetch promtool prometheus
fetch prometheus-node-exporter prometheus-node-exporter
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "a watch takes root, and there is no sudo: run this as root"
    exec sudo env LASTREF_BIN="$lastref" bash "$0"
fi

echo "test-metrics: promtool"
cd "$here/deploy"
promtool check config prometheus.yml
promtool check rules alerts.yml
promtool test rules alerts.test.yml

# Ends only what was started here, and waits until it is gone.
finish() {
    status=$?
    trap - EXIT
    trap '' INT TERM HUP
    for pid in "${pids[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}
work=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# start LOG COMMAND…
start() {
    local log=$work/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pids+=($!)
}

# What a log says by this pattern of sed, once it does.
said() {
    local found
    for _ in $(seq 300); do
        found=$(sed -n "s|$2|\\1|p" "$work/$1.log" | head -n 1)
        if [ -n "$found" ]; then
            echo "$found"
            return
        fi
        sleep 0.1
    done
    fail "$1 does not say what it should"
}

ask() {
    promtool query instant "http://$prometheus" "$1"
}

# Waits until Prometheus has an answer.
until_there() {
    local answer
    for _ in $(seq 120); do
        answer=$(ask "$1" 2>/dev/null) || answer=
        if [ -n "$answer" ]; then
            echo "$answer" | head -n 1
            return
        fi
        sleep 0.5
    done
    fail "Prometheus does not have $1"
}

echo "test-metrics: a leak, two watches that see it, and a Prometheus that scrapes them"
mkdir "$work/textfile"
start lab "$lastref" lab run raw-fd --rate 20 --for 10m
said lab '^raw-fd: pid \([0-9]*\).*' >/dev/null
start watch "$lastref" watch --metrics 127.0.0.1:0 --window 10s
start textfile "$lastref" watch --metrics "$work/textfile/lastref.prom" --window 10s
start exporter prometheus-node-exporter --web.listen-address=127.0.0.1:0 --collector.disable-defaults \
    --collector.textfile --collector.textfile.directory="$work/textfile"
served=$(said watch '.*metrics at http://\([^/]*\)/metrics.*')
exporter=$(said exporter '.*Listening on.*address="*\(127[0-9.:]*\).*')

# The example as it is, but for the target, the pace, and how long an alert waits.
sed -e "s|127.0.0.1:9435|$served|" -e 's|30s|1s|' prometheus.yml >"$work/prometheus.yml"
cat >>"$work/prometheus.yml" <<END
  - job_name: node
    static_configs:
      - targets: ['$exporter']
END
sed 's|for: 2m|for: 2s|' alerts.yml >"$work/alerts.yml"
promtool check config "$work/prometheus.yml" >/dev/null
start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" \
    --web.listen-address=127.0.0.1:0
prometheus=$(said prometheus '.*msg="Listening on".*address=\(127[0-9.:]*\).*')

until_there 'lastref_objects{job="lastref",kind="map",state="in-use"} > 0'
until_there 'up{job="lastref"} == 1'
until_there 'lastref_open_handles{job="lastref",by="fd",kind="map"} > 20'
until_there 'lastref_growth_per_second{job="lastref",leak="yes"} > 5'
until_there 'lastref_exhaustion_seconds{job="lastref",limit="RLIMIT_NOFILE"}'
until_there 'ALERTS{alertname="BpfHandleLeak",alertstate="firing",job="lastref"}'
# The same through the file.
until_there 'lastref_growth_per_second{job="node",leak="yes"} > 5'
until_there 'rate(lastref_sweeps_total{job="node"}[30s]) > 0'
until_there 'node_textfile_scrape_error{job="node"} == 0'
until_there 'count({__name__=~"lastref_.+",job="lastref"})'

echo "test-metrics: the dashboard's questions"
grep -o '"expr": ".*"' grafana.json | sed -e 's/^"expr": "//' -e 's/"$//' -e 's/\\"/"/g' \
    -e 's/\$instance/.*/g' -e 's/\$__rate_interval/30s/g' >"$work/questions"
while IFS= read -r question; do
    answer=$(ask "$question") || fail "Prometheus does not understand: $question"
    # Nothing need be orphaned or unexplained here.
    [ -n "$answer" ] || echo "   no answer: $question"
done <"$work/questions"

echo "test-metrics: all well"
