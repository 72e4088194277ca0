# shellcheck shell=bash
# What every subcommand shares: the download cache, the work directory and its removal, and containers.
# Sourced by `run`, which sets $here, $tree and $purge.

node_dir=
cache=${OPENCLAW_DOCTOR_REAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/openclaw-doctor-real}
work=
declare -A running=()

say() { printf '%s\n' "$*" >&2; }

# Something needed is missing, or the trial itself broke.
die() {
    say "tests/real: $*"
    exit 2
}

# The trial ran, and what it shows is not what was expected.
fail() {
    say "FAILED: $*"
    exit 1
}

start_work() {
    local tool
    for tool in npm unshare pivot_root flock; do
        command -v "$tool" >/dev/null || die "needs $tool"
    done
    work=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

clean_up() {
    local pid
    # unshare --kill-child takes pid 1 along, and that takes the whole container.
    for pid in "${!running[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
        ended "$pid"
    done
    rm -rf "$work"
    # By name, as the folder is the caller's choice and may hold more than ours.
    if [ -n "$purge" ]; then
        rm -rf "$cache"/node-24* "$cache"/openclaw-2026.* "$cache/.lock"
        rmdir "$cache" 2>/dev/null || true
    fi
}

# Waits for a child that was told to end, and forgets it: its number may be a stranger's from here on.
ended() {
    wait "$1" 2>/dev/null || true
    unset "running[$1]"
}

# Installs one npm package into the cache, once; prints the prefix it was installed under.
fetch() {
    local package=$1 prefix=$cache/${1//@/-} stray=/tmp/openclaw
    mkdir -p "$cache"
    # Later releases refuse to be installed by an older node than they run on, hence the PATH below.
    # OpenClaw's install script leaves this behind, empty; one that was there before is not ours.
    [ ! -e "$stray" ] || stray=
    (
        flock 9
        [ ! -d "$prefix" ] || exit 0
        say "fetching $package into $cache"
        # Renamed at the end: an install that was cut short must not look like a finished one.
        # Chained by &&: `set -e` is off in a subshell whose status is tested.
        rm -rf "$prefix.partial" &&
            mkdir "$prefix.partial" &&
            PATH="${node_dir:+$node_dir/bin:}$PATH" npm install --prefix "$prefix.partial" --no-audit --no-fund --loglevel=error "$package" >&2 9>&- &&
            mv "$prefix.partial" "$prefix" || exit 1
        [ -z "$stray" ] || rmdir "$stray" 2>/dev/null || true
    ) 9>"$cache/.lock" || die "cannot fetch $package"
    printf '%s\n' "$prefix"
}

# The releases' own node, not the host's: OpenClaw 4.x wants 22.14 or later.
fetch_node() {
    local prefix
    prefix=$(fetch node@24)
    node_dir=$prefix/node_modules/node
    node=$node_dir/bin/node
    [ -x "$node" ] || die "node@24 brought no binary: does npm run install scripts here?"
}

# start_container NAME RELEASE VOLUME COMMAND...
# Runs COMMAND as pid 7 of a container with VOLUME as its stage directory; output goes to $work/NAME.log.
# 7 is what `init: true` gives a gateway. Sets $container, the host pid of the process that ends with it.
start_container() {
    local name=$1 release=$2 volume=$3
    shift 3
    mkdir -p "$volume"
    local settings=(OPENCLAW_PLUGIN_STAGE_DIR="$stage_dir") binds=("$volume:$stage_dir")
    contain "$name" "$release" "$@"
}

# start_home NAME RELEASE COMMAND...
# The same, with $work/NAME.home as /home/node and $work/NAME.tmp as /tmp, and a network of its own: no
# record can depend on the network, and a gateway takes no port of the host.
start_home() {
    local name=$1 release=$2
    shift 2
    mkdir -p "$work/$name.home" "$work/$name.tmp"
    chmod 1777 "$work/$name.tmp"
    local settings=() binds=("$work/$name.home:/home/node" "$work/$name.tmp:/tmp") namespaces=(--net)
    contain "$name" "$release" "$@"
}

# A gateway in start_home's container; the loopback device of a new network namespace is down.
gateway_command='node /app/dist/index.js gateway run --allow-unconfigured --bind loopback --auth none --port 18789'
gateway_in_container="ip link set lo up && exec $gateway_command"

# listens PID: whether anything does on the gateway's port, in that process's network namespace.
listens() {
    # 18789 in hexadecimal, in state LISTEN.
    grep -q ':4965 [0-9A-F:]* 0A' "/proc/$1/net/tcp" 2>/dev/null
}

# contain NAME RELEASE COMMAND...: with the caller's settings, binds and namespaces.
contain() {
    local name=$1 release=$2 modules
    shift 2
    modules=$(fetch "openclaw@$release")/node_modules
    mkdir -p "$work/$name.root"
    local user=()
    if [ "$(id -u)" != 0 ]; then user=(--user --map-root-user); fi
    env -i PATH=/opt/node/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/home/node TMPDIR=/tmp "${settings[@]}" \
        unshare "${user[@]}" ${namespaces[@]+"${namespaces[@]}"} --mount --pid --fork --kill-child \
        bash "$here/container-init.sh" "$work/$name.root" 7 \
        "$modules/openclaw:/app" "$modules:/node_modules" "$node_dir:/opt/node" "$here:/opt/real" \
        "${binds[@]}" -- "$@" >"$work/$name.log" 2>&1 &
    container=$!
    running[$container]=$name
}
# Where the stock Compose file mounts the volume.
stage_dir=/var/lib/openclaw/plugin-runtime-deps

child_of() {
    local children
    read -r children <"/proc/$1/task/$1/children" || true
    [[ $children =~ ^[0-9]+\ ?$ ]] || die "pid $1 has not exactly one child: '$children'"
    printf '%s\n' "${children% }"
}

# The host pid of a container's pid 7.
main_process() { child_of "$(child_of "$1")"; }

# wait_for NAME WORD SECONDS: prints the log line that begins with WORD; fails after SECONDS.
wait_for() {
    local line deadline=$((SECONDS + $3))
    until line=$(grep -m 1 "^$2 " "$work/$1.log" 2>/dev/null); do
        if [ $SECONDS -ge $deadline ]; then
            sed "s/^/$1: /" "$work/$1.log" >&2
            return 1
        fi
        sleep 0.05
    done
    printf '%s\n' "$line"
}

# expect CODE COMMAND...: runs it, with its output on stderr, and fails on any other exit code.
expect() {
    local want=$1 got=0
    shift
    "$@" </dev/null >&2 || got=$?
    [ "$got" = "$want" ] || fail "exit code $got, expected $want: $*"
}

# By the wall clock, as the record and the waiter's line are.
now_ms() { printf '%s\n' "$((${EPOCHREALTIME/[.,]/} / 1000))"; }
