# shellcheck shell=bash
# The subcommands `record` and `check`: lock records as the releases' own lock code writes them.

releases=(
    2026.3.31 2026.4.24 2026.4.25 2026.4.26 2026.4.27 2026.4.29 2026.4.30-beta.1 2026.5.7 2026.5.28 2026.7.1
    2026.7.2-beta.2 2026.7.2-beta.7 2026.8.2 2026.9.6
)
records=$tree/fixtures/records

# families_of RELEASE: those of families.mjs that the release has and that can be driven there, and `gateway`.
families_of() {
    case $1 in
    2026.3.31) echo session-write session-store sandbox-registry file-lock gateway ;;
    2026.4.26 | 2026.4.29)
        echo session-write session-store sandbox-registry file-lock short-term-promotion gateway
        ;;
    2026.5.7) echo session-write sandbox-registry file-lock short-term-promotion usage-cost gateway ;;
    2026.5.28)
        echo session-write sandbox-registry file-lock proper-lockfile short-term-promotion usage-cost gateway
        ;;
    2026.7.1) echo session-write file-lock proper-lockfile usage-cost gateway ;;
    2026.7.2-beta.2) echo session-write file-lock exec-approvals ;;
    2026.7.2-beta.7) echo session-write file-lock reclaim-guard ;;
    2026.8.2) echo file-lock reclaim-guard package-lifecycle gateway ;;
    2026.9.6) echo file-lock reclaim-guard package-lifecycle config-clobber gateway ;;
    esac
}

# record_release RELEASE OUT: fills OUT/RELEASE.
record_release() {
    local release=$1 out=$2/$1 modules family lock line install_root='' copy pid7 holder gateway_run=''
    modules=$(fetch "openclaw@$release")/node_modules
    rm -rf "$out"
    mkdir -p "$out"
    local rows=()
    for family in runtime-deps runtime-mirror; do
        lock=.openclaw-$family.lock
        grep -q "\"$lock\"" "$modules"/openclaw/dist/*.js || continue

        # In a container. The copy is made while the lock is held: release deletes it.
        start_container "$release-$family" "$release" "$work/$release-$family.volume" \
            node /opt/real/hold-lock.mjs /app auto "$lock" 60000
        line=$(wait_for "$release-$family" acquiring 60) || die "$release: $family is not being taken"
        read -r _ pid7 install_root <<<"$line"
        [ "$pid7" = 7 ] || die "$release: wanted pid 7, got $pid7"
        wait_for "$release-$family" held 10 >/dev/null || die "$release: $family is not held"
        copy=$work/$release-$family.volume/${install_root#"$stage_dir/"}/$lock
        keep "$copy" "$out/$family"
        rows+=("$family" 7 "$copy" '')
        kill -9 "$(main_process "$container")"
        ended "$container"

        # On the host, with whatever pid comes. A subshell keeps the umask from the rest.
        copy=$work/$release-$family.plain/${install_root##*/}/$lock
        (
            umask 022
            mkdir -p "$work/home"
            exec env -i PATH="$PATH" HOME="$work/home" TMPDIR="$work" \
                "$node" "$here/hold-lock.mjs" "$modules/openclaw" "${copy%/*}" "$lock" 60000
        ) >"$work/$release-$family-plain.log" 2>&1 &
        holder=$!
        running[$holder]=$release-$family-plain
        wait_for "$release-$family-plain" held 60 >/dev/null || die "$release: $family is not held on the host"
        keep "$copy" "$out/$family/ordinary-pid"
        rows+=("$family/ordinary-pid" "$holder" "$copy" '')
        kill -9 "$holder"
        ended "$holder"
    done
    local families=" $(families_of "$release") "
    if [[ $families = *" gateway "* ]]; then record_gateway; fi
    families=${families/ gateway / }
    # shellcheck disable=SC2086  # a list of words
    if [ -n "${families// /}" ]; then record_families $families; fi
    "$node" "$here/note.mjs" "$modules" "$release" "$install_root" "$gateway_run" "${rows[@]}" >"$out/note.json"
    say "recorded $release: $((${#rows[@]} / 4)) records"
}

# record_families FAMILY...: taken one after the other by one process, which holds them all at the end.
# Uses and extends record_release's $release, $out and $rows.
record_families() {
    local name=$release-families family lock driven main
    start_home "$name" "$release" node /opt/real/hold-family.mjs /app "$release" "$@"
    wait_for "$name" done 600 >/dev/null || die "$release: the families are not being taken"
    main=$(main_process "$container")
    # Every lock must be as it was left by the kill, as a crashed release leaves it.
    kill -9 "$main"
    ended "$container"
    ! grep '^failed ' "$work/$name.log" >&2 || die "$release: not every family could be driven"
    while read -r _ family lock driven; do
        keep_lock "$family" "$name" "$lock" "$driven"
    done < <(grep '^held ' "$work/$name.log")
}

# keep_lock FAMILY CONTAINER-NAME LOCK DRIVEN: copies a lock, and adds its row for the note.
keep_lock() {
    local left=$work/$2.home${3#/home/node}
    if [[ $3 = /tmp/* ]]; then left=$work/$2.tmp${3#/tmp}; fi
    if [ -f "$left" ]; then
        mkdir -p "$out/$1"
        cp "$left" "$out/$1/${3##*/}"
    fi
    rows+=("$1" 7 "$left" "{\"lock\":\"$3\",${4#\{}")
}

# A gateway as in a container, killed while it runs. What it leaves is the record.
record_gateway() {
    local name=$release-gateway main listening=false lock family running_copy
    start_home "$name" "$release" bash -c "$gateway_in_container"
    local deadline=$((SECONDS + 600))
    until [ -n "$(gateway_locks "$name")" ]; do
        kill -0 "$container" 2>/dev/null || { tail -20 "$work/$name.log" >&2; die "$release: the gateway ended"; }
        [ $SECONDS -lt $deadline ] || die "$release: no gateway lock after 600 s"
        sleep 0.5
    done
    main=$(main_process "$container")
    # Not every release gets there without a network.
    deadline=$((SECONDS + 240))
    until listens "$main"; do
        kill -0 "$container" 2>/dev/null || { tail -20 "$work/$name.log" >&2; die "$release: the gateway ended"; }
        [ $SECONDS -lt $deadline ] || break
        sleep 0.5
    done
    if listens "$main"; then listening=true; fi
    # What follows the start: schedulers, caches.
    sleep 15
    cat "/proc/$main/root/proc/locks" >"$work/$name.locks"
    running_copy=$work/$name.running
    mkdir -p "$running_copy"
    while read -r lock; do cp "$lock" "$running_copy/"; done < <(gateway_locks "$name")
    kill -9 "$main"
    ended "$container"
    while read -r lock; do
        cmp -s "$lock" "$running_copy/${lock##*/}" || die "$release: ${lock##*/} changed when the gateway was killed"
        family=gateway
        if [ "${lock##*/}" = gateway.state.lock ]; then family=gateway-state; fi
        case $lock in
        "$work/$name.tmp"/*) lock=/tmp${lock#"$work/$name.tmp"} ;;
        *) lock=/home/node${lock#"$work/$name.home"} ;;
        esac
        keep_lock "$family" "$name" "$lock" "{\"how\":\"$gateway_command, killed while it ran\"}"
    done < <(gateway_locks "$name")
    gateway_run=$work/$name.json
    "$node" "$here/list-left.mjs" "$work/$name.home" "$work/$name.tmp" "$work/$name.locks" "$listening" >"$gateway_run"
}

# gateway_locks CONTAINER-NAME: its gateway's lock files, each on a line.
gateway_locks() {
    local dir
    for dir in "$work/$1.tmp" "$work/$1.home"; do
        find "$dir" -path '*/node_modules' -prune -o -type f -size +0 -name 'gateway.*.lock' -print
    done
}

# keep LOCK-DIR COPY: the lock directory as it stands, which must be one file and nothing else.
keep() {
    [ "$(ls -A "$1")" = owner.json ] || die "$1 holds more than owner.json"
    mkdir -p "$2"
    cp "$1/owner.json" "$2/owner.json"
}

record() {
    [ $# -gt 0 ] || set -- "${releases[@]}"
    fetch_node
    local release
    for release in "$@"; do record_release "$release" "$records"; done
}

check() {
    [ $# -gt 0 ] || set -- "${releases[@]}"
    fetch_node
    local release
    for release in "$@"; do record_release "$release" "$work/records"; done
    "$node" "$here/shape.mjs" "$records" "$work/records" "$@" || fail "the fixtures are not what the releases write"
    say "the fixtures have the shape that $# releases write"
}
