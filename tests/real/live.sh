# shellcheck shell=bash
# The subcommand `live`: a real gateway, looked at while it runs and after it was killed.
#
# Of a healthy gateway a scan must call nothing stale, from the host and from inside its container, and a
# repair must touch nothing. Of a killed one, the scan must prove the locks stale. Then the gateway starts
# again on what was left: once as it is (it clears its own locks where their record proves them stale), once
# after a repair. Both times it must get to listen. The release must be one that does so without a network.

gateway=
gateway_home=
gateway_tmp=
state=
# What the doctor is told to look at, by the names of the host and of the container; the gateway's own locks.
paths=()
inside=()
own=()
# How the doctor is run.
doctor=()

live() {
    local release=${1:-2026.9.6} binary=${OPENCLAW_DOCTOR:-$tree/target/release/openclaw-doctor} took
    local fresh alone repaired enter
    [ -x "$binary" ] || die "no binary at $binary: build it, or set OPENCLAW_DOCTOR"
    command -v nsenter >/dev/null || die "needs nsenter"
    fetch_node
    gateway_home=$work/gateway.home gateway_tmp=$work/gateway.tmp state=$work/gateway.home/.openclaw
    mkdir -p "$gateway_home" "$gateway_tmp" "$work/doctor"
    chmod 1777 "$gateway_tmp"
    # Where the container can have it without the rest of the tree.
    cp "$binary" "$work/doctor/openclaw-doctor"
    doctor=("$binary")

    say "1. a gateway of $release starts as pid 7 of a container with no network"
    start_gateway first "$release"
    fresh=$took
    say "   it listens after $fresh ms; host pid $gateway, comm '$(cat "/proc/$gateway/comm")'; its locks:"
    list_locks "$work/living"
    sed "s|^$work/gateway\.\([^;]*;[^;]*\).*|   \1|" "$work/living" >&2

    say "2. while it lives: scan from the host"
    expect 0 "${doctor[@]}" scan "${paths[@]}"
    report 0 active scan "${paths[@]}"
    say "   scan without a PATH"
    # What else is on this machine is not ours to judge: any answer will do, but of our gateway.
    report "0 1 3" found scan
    say "   scan from inside its namespaces"
    enter=(nsenter --target "$gateway" --mount --pid --net)
    if [ "$(id -u)" != 0 ]; then enter+=(--user --preserve-credentials); fi
    doctor=("${enter[@]}" /opt/doctor/openclaw-doctor)
    report 0 active scan "${inside[@]}"
    doctor=("$binary")
    say "   repair --yes"
    expect 0 "${doctor[@]}" repair --yes "${paths[@]}"
    report 0 untouched repair --yes "${paths[@]}"
    list_locks "$work/untouched"
    diff "$work/living" "$work/untouched" >&2 || fail "the locks of a living gateway are not as they were"
    listens "$gateway" || fail "the gateway does not listen any more"

    say "3. kill -9, and scan"
    kill_gateway
    list_locks "$work/left"
    diff "$work/living" "$work/left" >&2 || say "   the kill left other locks than there were before"
    expect 1 "${doctor[@]}" scan "${paths[@]}"
    report 1 stale scan "${paths[@]}"

    say "4. A: it starts again on what was left"
    start_gateway second "$release"
    alone=$took
    say "   it listens after $alone ms"
    report 0 active scan "${paths[@]}"
    kill_gateway

    say "   B: it is repaired, and starts again"
    report 1 stale scan "${paths[@]}"
    list_locks "$work/left"
    # Without --yes: what is proven, no more.
    report 0 removed repair "${paths[@]}"
    list_locks "$work/repaired"
    grep -v '/gateway\.[^/]*\.lock; ' "$work/left" >"$work/kept" || true
    diff "$work/kept" "$work/repaired" >&2 || fail "the repair removed something else than the gateway's own locks"
    start_gateway third "$release"
    repaired=$took
    say "   it listens after $repaired ms"
    report 0 active scan "${paths[@]}"
    kill_gateway

    say "from start to listening: $fresh ms in an empty home, $alone ms on stale locks, $repaired ms after a repair"
}

# start_gateway NAME RELEASE: in a new container, on the home and temp directory of those before it, until it
# listens and has settled. Sets $gateway, its host pid, and the caller's $took, the ms until it listened.
start_gateway() {
    local name=$1 begun deadline=$((SECONDS + 240))
    local settings=() namespaces=(--net)
    local binds=("$gateway_home:/home/node" "$gateway_tmp:/tmp" "$work/doctor:/opt/doctor")
    begun=$(now_ms)
    contain "$name" "$2" bash -c "$gateway_in_container"
    until gateway=$(pid_7 "$container") && listens "$gateway"; do
        if ! kill -0 "$container" 2>/dev/null; then
            sed "s/^/$name: /" "$work/$name.log" >&2
            fail "the gateway ended"
        fi
        if [ $SECONDS -ge $deadline ]; then
            sed "s/^/$name: /" "$work/$name.log" >&2
            fail "the gateway does not listen after 240 s"
        fi
        sleep 0.1
    done
    took=$(($(now_ms) - begun))
    # What follows the start: schedulers, caches. In the background, so that a signal is answered at once.
    sleep 15 &
    wait $!
    find_own_locks
}

# pid_7 CONTAINER: the host pid of its pid 7; fails while there is none. Unlike main_process it can be asked
# while the container is being made and pid 1 has other children.
pid_7() {
    local init child
    # The list has no newline at its end, hence cat: read would say that it failed.
    for init in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        for child in $(cat "/proc/$init/task/$init/children" 2>/dev/null); do
            if grep -q '^NSpid:.*\b7$' "/proc/$child/status" 2>/dev/null; then
                printf '%s\n' "$child"
                return 0
            fi
        done
    done
    return 1
}

# The whole container ends with it.
kill_gateway() {
    kill -9 "$gateway"
    ended "$container"
}

# Sets $own, and $paths and $inside: the state dir and, where the gateway's locks are not below it (to
# 2026.7 they are in the temp directory), theirs.
find_own_locks() {
    local dir
    mapfile -t own < <(find "$state" "$gateway_tmp" -name node_modules -prune -o -type f -name 'gateway.*.lock' -print)
    [ ${#own[@]} -gt 0 ] || fail "the gateway has no lock"
    paths=("$state") inside=(/home/node/.openclaw)
    dir=${own[0]%/*}
    if [[ $dir = "$gateway_tmp"/* ]]; then
        paths+=("$dir")
        inside+=("/tmp${dir#"$gateway_tmp"}")
    fi
}

# list_locks OUT: whatever is called a lock in the home and the temp directory: path, type, mode, size, inode,
# mtime, and the hash of a file's bytes.
list_locks() {
    local entry hash
    find "$gateway_home" "$gateway_tmp" -name node_modules -prune -o -name control-ui-assets -prune -o \
        \( -name '*.lock' -o -name '*.lock.*' -o -name '*-lock' \) -print | sort |
        while read -r entry; do
            hash='-'
            if [ -f "$entry" ]; then hash=$(sha256sum <"$entry"); fi
            printf '%s; %s; %s\n' "$entry" "$(stat -c '%F, %04a, %s bytes; inode %i; %y' "$entry")" "${hash%% *}"
        done >"$1"
}

# report CODES WHAT WORD...: runs the doctor for its JSON, which must be WHAT (see live.mjs).
report() {
    local codes=$1 what=$2 got=0
    shift 2
    "${doctor[@]}" "$@" --json </dev/null >"$work/report.json" || got=$?
    [[ " $codes " = *" $got "* ]] || fail "exit code $got, expected $codes: $* --json"
    "$node" "$here/live.mjs" "$work/report.json" "$what" "$state" "${own[@]}" || fail "not as expected ($what): $*"
}
