#!/usr/bin/env bash
# A private Docker engine for the container layer, for machines that have none: as root, with Debian's docker.io.
#
#     eval "$(test-chaos/containers/engine.sh start)"   # installs when missing, starts, exports DOCKER_HOST
#     test-chaos/containers/engine.sh stop              # ends it and removes all that it made
#
# Each step is bounded. Where a step fails, `start` says why and ends with 1, and nothing of it runs on. An engine that answers already is
# left as it is, and used. An engine changes the machine's network: what it added is taken away when it is stopped.
set -euo pipefail
home="${HOLDFAST_ENGINE_HOME:-/tmp/holdfast-engine}"
socket="unix://$home/docker.sock"

answers() {
  timeout 5 docker "$@" version >/dev/null 2>&1
}

give_up() {
  echo "no container engine: $1" >&2
  stop
  exit 1
}

install() {
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=60)
  # Downloads may hang, so they come first and are cut off; unpacking what is there is quick and is not broken off half-way.
  timeout 90 "${apt[@]}" update >&2 || return 1
  timeout 120 "${apt[@]}" install -y --no-install-recommends --download-only docker.io >&2 || return 1
  # Runlevel 1: the package starts no engine of its own.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends --no-download docker.io >&2
}

start() {
  if command -v docker >/dev/null && answers; then return; fi
  [ "$(id -u)" = 0 ] || give_up "not root"
  command -v dockerd >/dev/null || install || give_up "docker.io cannot be installed"
  if ! answers -H "$socket"; then
    [ ! -e /sys/class/net/docker0 ] || give_up "the bridge of another engine is there"
    mkdir -p "$home"
    cat /proc/sys/net/ipv4/ip_forward >"$home/forwarding"
    for table in iptables ip6tables; do "$table" -S FORWARD 2>/dev/null | sed -n 1p >"$home/$table"; done
    setsid dockerd --host "$socket" --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/dockerd.pid" \
      --bip 172.31.251.1/24 --ip 127.0.0.1 >"$home/dockerd.log" 2>&1 </dev/null &
    echo $! >"$home/session"
    for _ in $(seq 100); do
      answers -H "$socket" && break
      kill -0 "$(cat "$home/session")" 2>/dev/null || break
      sleep 0.2
    done
    answers -H "$socket" || give_up "$(tail -1 "$home/dockerd.log")"
  fi
  echo "export DOCKER_HOST=$socket"
}

stop() {
  [ -f "$home/session" ] || { rm -rf "$home"; return 0; }
  local pid
  pid="$(cat "$home/session")"
  if answers -H "$socket"; then
    timeout 20 docker -H "$socket" ps -aq | xargs -r timeout 20 docker -H "$socket" rm -fv >/dev/null 2>&1 || true
    timeout 20 docker -H "$socket" network prune -f >/dev/null 2>&1 || true
  fi
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  # Its session: what has not ended by now is ended.
  pkill -KILL -s "$pid" 2>/dev/null || true
  grep -o " $home/[^ ]*" /proc/mounts | sort -r | xargs -r -n 1 umount -l 2>/dev/null || true
  ip link delete docker0 2>/dev/null || true
  # All its rules name it; no other engine was there.
  for table in iptables ip6tables; do
    "$table-save" 2>/dev/null | grep -vi docker | "$table-restore" 2>/dev/null || true
    [ ! -s "$home/$table" ] || xargs "$table" <"$home/$table" || true
  done
  cat "$home/forwarding" >/proc/sys/net/ipv4/ip_forward 2>/dev/null || true
  rm -rf "$home" 2>/dev/null || true
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
