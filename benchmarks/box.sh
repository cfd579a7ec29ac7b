#!/usr/bin/env bash
# box.sh CPUS MEMORY COMMAND...
#
# Runs COMMAND with no more than CPUS processors and MEMORY (0.1 and 20M, say), as a container would:
# in a control group of its own, version 1 or 2, without swap. The page cache is dropped first, so that
# COMMAND pays for the files that it maps. Ends with COMMAND, or kills it when told to end (TERM, INT),
# and says on stderr how much memory was used at most and how often the kernel killed for want of it:
#
#   box: peak_bytes=20971520 oom_kills=0
#
# Needs root. Its exit status is COMMAND's.
set -eu

if [ $# -lt 3 ]; then
  echo 'box.sh CPUS MEMORY COMMAND...' >&2
  exit 2
fi
cpus=$1 memory=$2
shift 2

readonly period_us=100000 hierarchy=/sys/fs/cgroup name=tokenfall-bench-$$
quota_us=$(awk -v cpus="$cpus" -v period="$period_us" 'BEGIN { printf "%d", cpus * period }')
groups=() command_pid='' peak_file='' kills_file=''

make_v1() {
  local by_memory=$hierarchy/memory/$name by_cpu=$hierarchy/cpu/$name
  mkdir "$by_memory" "$by_cpu"
  groups=("$by_memory" "$by_cpu")
  echo "$memory" >"$by_memory/memory.limit_in_bytes"
  if [ -e "$by_memory/memory.memsw.limit_in_bytes" ]; then
    echo "$memory" >"$by_memory/memory.memsw.limit_in_bytes"
  fi
  echo "$period_us" >"$by_cpu/cpu.cfs_period_us"
  echo "$quota_us" >"$by_cpu/cpu.cfs_quota_us"
  peak_file=$by_memory/memory.max_usage_in_bytes
  kills_file=$by_memory/memory.oom_control
}

make_v2() {
  local group=$hierarchy/$name
  echo '+cpu +memory' >"$hierarchy/cgroup.subtree_control"
  mkdir "$group"
  groups=("$group")
  echo "$memory" >"$group/memory.max"
  if [ -e "$group/memory.swap.max" ]; then echo 0 >"$group/memory.swap.max"; fi
  echo "$quota_us $period_us" >"$group/cpu.max"
  peak_file=$group/memory.peak
  kills_file=$group/memory.events
}

report() {
  local peak=unknown kills
  if [ -r "$peak_file" ]; then peak=$(<"$peak_file"); fi # memory.peak came with Linux 5.19
  kills=$(awk '$1 == "oom_kill" { print $2 }' "$kills_file")
  echo "box: peak_bytes=$peak oom_kills=${kills:-unknown}" >&2
}

# A group can be removed once its last process is gone, which the kernel does not announce to us.
remove() {
  local group attempt
  for group in "${groups[@]}"; do
    for attempt in {1..50}; do
      xargs -r kill -KILL <"$group/cgroup.procs" 2>/dev/null || true
      if rmdir "$group" 2>/dev/null; then break; fi
      sleep 0.1
    done
  done
}

leave() {
  local status=$?
  trap '' TERM INT
  if [ -n "$command_pid" ]; then
    kill -KILL "$command_pid" 2>/dev/null || true
    wait "$command_pid" 2>/dev/null || true
    report
  fi
  remove
  exit "$status"
}

enter_and_run() {
  local group
  for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
  exec "$@"
}

trap leave EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
sync
echo 3 >/proc/sys/vm/drop_caches
if [ -f "$hierarchy/cgroup.controllers" ]; then make_v2; else make_v1; fi
enter_and_run "$@" &
command_pid=$!
wait "$command_pid"
