//! A run as root touches nothing that whoever led it there could not touch alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)]

mod support;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::machine::VOUCHED;
use support::users::{STRANGER, dir, ground, is_elsewhere, openclaw, stale, stale_file};
use support::{Answer, Living, command, doctor, settled};

const OTHER: u32 = 54_322;
const GROUP: u32 = 54_400;

fn repair() -> Answer {
    doctor(["repair", "--yes", VOUCHED])
}

/// The worst that was found in the first build: every variable of a stranger's process aims a repair
/// by root at files of others.
#[test]
fn no_environment_of_a_stranger_makes_root_remove_what_the_stranger_could_not() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let victim = dir(&ground.path().join("victim"), 0, 0, 0o755);
    let private = dir(&ground.path().join("private"), OTHER, OTHER, 0o700);
    let mut kept = vec![
        stale(&victim.join("state"), 0),
        stale(&private.join("state"), OTHER),
        stale_file(&victim.join("Cargo.lock")),
        stale_file(&private.join("passwd.lock")),
        stale_file(&victim.join("telegram-pairing.json.lock")),
    ];
    let gateway_locks = dir(&victim.join("tmp/openclaw-0"), 0, 0, 0o755);
    kept.push(stale_file(&gateway_locks.join("gateway.0a1b2c3d.lock")));
    let own = dir(&ground.path().join("own"), STRANGER, STRANGER, 0o755);
    let own_lock = stale(&own.join("state"), STRANGER);
    // By a link of the stranger's own, too.
    symlink(&victim, own.join("link")).unwrap();
    lchown(own.join("link"), Some(STRANGER), Some(STRANGER)).unwrap();

    let aims: Vec<Vec<(&str, PathBuf)>> = vec![
        vec![("OPENCLAW_STATE_DIR", victim.join("state")), ("OPENCLAW_CONFIG_PATH", victim.join("Cargo"))],
        vec![("OPENCLAW_STATE_DIR", private.join("state")), ("OPENCLAW_CONFIG_PATH", private.join("passwd"))],
        vec![("OPENCLAW_OAUTH_DIR", victim.clone()), ("TMPDIR", victim.join("tmp"))],
        vec![("OPENCLAW_PLUGIN_STAGE_DIR", victim.join("state/plugin-runtime-deps"))],
        vec![("STATE_DIRECTORY", victim.join("state")), ("OPENCLAW_HOME", victim.clone())],
        vec![("OPENCLAW_STATE_DIR", own.join("link/state")), ("HOME", private.clone())],
        vec![("OPENCLAW_STATE_DIR", own.join("state"))],
    ];
    let run = |uid| -> Vec<Living> {
        let run = |aim: &Vec<(&'static str, PathBuf)>| {
            let variables: Vec<(&str, &Path)> = aim.iter().map(|(name, value)| (*name, value.as_path())).collect();
            openclaw(ground.path(), uid, uid, &[], &variables)
        };
        aims.iter().map(run).collect()
    };
    let strangers = run(STRANGER);
    let answer = repair();
    for lock in &kept {
        assert!(lock.exists(), "{} was removed for a stranger:\n{}{}", lock.display(), answer.out(), answer.err());
    }
    assert!(!own_lock.exists(), "what is the stranger's own is cleared: {}{}", answer.out(), answer.err());
    assert!([3, 4].contains(&answer.code()), "{}: {}{}", answer.code(), answer.out(), answer.err());
    drop(strangers);

    // The control: root's own processes aim it there, and it goes.
    let _roots = run(0);
    let answer = repair();
    let gone = kept.iter().filter(|lock| !lock.exists()).count();
    assert!(gone >= 3, "the plants show nothing: {}{}", answer.out(), answer.err());
}

/// A set-uid program carries the environment of whoever started it.
#[test]
fn a_process_with_mixed_ids_names_no_places() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let lock = stale(&ground.path().join("state"), 0);
    let program = ground.path().join("openclaw-gateway");
    std::fs::copy("/bin/sleep", &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
    let mut set_uid = Command::new(&program);
    set_uid.arg("1000").env_clear().env("OPENCLAW_STATE_DIR", ground.path().join("state"));
    set_uid.uid(STRANGER).gid(STRANGER).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let _running = settled(set_uid.spawn().unwrap());
    let answer = repair();
    assert!(lock.exists(), "{}{}", answer.out(), answer.err());
}

/// A Kubernetes volume with fsGroup: the directory is root's, its group may write.
#[test]
fn what_a_group_of_the_process_may_remove_is_removed_for_it() {
    if is_elsewhere() {
        return;
    }
    for (groups, gone) in [(&[GROUP][..], true), (&[], false)] {
        let ground = ground();
        let state = ground.path().join("volume");
        let lock = stale(&state, 0);
        for entry in walkdir::WalkDir::new(&state) {
            let path = entry.unwrap().path().to_owned();
            chown(&path, Some(0), Some(GROUP)).unwrap();
            let mode = if path.is_dir() { 0o2775 } else { 0o664 };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let _running = openclaw(ground.path(), STRANGER, STRANGER, groups, &[("OPENCLAW_STATE_DIR", &state)]);
        let answer = repair();
        assert_eq!(!lock.exists(), gone, "{groups:?}: {}{}", answer.out(), answer.err());
        if !gone {
            assert_eq!(answer.code(), 4, "{}", answer.out());
            let named = format!("give {} as a PATH", state.join("plugin-runtime-deps").display());
            assert!((answer.out() + &answer.err()).contains(&named), "{}{}", answer.out(), answer.err());
            let by_path = doctor(["repair".as_ref(), "--yes".as_ref(), VOUCHED.as_ref(), state.as_os_str()]);
            assert!(!lock.exists(), "the PATH that it names helps: {}{}", by_path.out(), by_path.err());
        }
    }
}

/// A lock that stays without its record is worse than the whole one: who may write in the lock and not
/// above it takes nothing.
#[test]
fn a_lock_keeps_its_record_where_only_that_could_be_removed() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let state = ground.path().join("state");
    let lock = stale(&state, STRANGER);
    chown(lock.parent().unwrap(), Some(0), Some(0)).unwrap();
    let _running = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("OPENCLAW_STATE_DIR", &state)]);
    let answer = repair();
    assert!(lock.join("owner.json").exists(), "{}{}", answer.out(), answer.err());
    assert_eq!(answer.code(), 4, "{}{}", answer.out(), answer.err());
}

/// A container without CAP_SETUID: nobody's place can be taken.
#[test]
fn without_the_right_to_act_for_others_their_places_are_named_and_left() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let state = ground.path().join("state");
    let lock = stale(&state, STRANGER);
    let _running = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("OPENCLAW_STATE_DIR", &state)]);
    let mut weak = Command::new("setpriv");
    weak.args(["--bounding-set=-setuid", "--inh-caps=-setuid"]).arg(command().get_program());
    weak.args(["repair", "--yes", VOUCHED]).env_clear().stdin(Stdio::null());
    let answer = Answer(weak.output().unwrap());
    assert!(lock.exists(), "{}{}", answer.out(), answer.err());
    assert_eq!(answer.code(), 3, "{}{}", answer.out(), answer.err());
    let text = answer.out() + &answer.err();
    assert!(text.contains(state.to_str().unwrap()) && text.contains("give it as a PATH"), "{text}");
}

/// Between the scan and the pasted command a user swaps the own state dir for a link to another's.
#[test]
fn a_link_of_one_user_does_not_lead_root_to_anothers_locks() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let (mine, theirs) = (ground.path().join("mine"), ground.path().join("theirs"));
    for (home, uid) in [(&mine, STRANGER), (&theirs, OTHER)] {
        dir(home, uid, uid, 0o755);
    }
    let lock = stale(&theirs.join(".openclaw"), OTHER);
    let below = lock.strip_prefix(theirs.join(".openclaw")).unwrap();
    let link = mine.join(".openclaw");
    symlink(theirs.join(".openclaw"), &link).unwrap();
    lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    let pasted = link.join(below);
    for args in [vec![link.as_os_str()], vec!["--lock".as_ref(), pasted.as_os_str()], vec![pasted.as_os_str()]] {
        let answer = doctor([&["repair".as_ref(), "--yes".as_ref(), VOUCHED.as_ref()], args.as_slice()].concat());
        assert!(lock.exists(), "{args:?}: {}{}", answer.out(), answer.err());
        assert!([3, 4].contains(&answer.code()), "{args:?}: {}{}", answer.out(), answer.err());
    }
    // A link that leads to what is the user's own is an ordinary thing.
    let own = stale(&mine.join("moved"), STRANGER);
    std::fs::remove_file(&link).unwrap();
    symlink("moved", &link).unwrap();
    lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    let answer = doctor(["repair".as_ref(), "--yes".as_ref(), VOUCHED.as_ref(), link.as_os_str()]);
    assert!(!own.exists(), "{}{}", answer.out(), answer.err());
}

#[test]
fn a_link_that_its_directorys_owner_does_not_own_is_named_with_its_target() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let lock = stale(&ground.path().join("real"), 0);
    let shared = dir(&ground.path().join("shared"), 0, 0, 0o1777);
    let link = shared.join("state");
    symlink(ground.path().join("real"), &link).unwrap();
    lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    let answer = doctor(["repair".as_ref(), "--yes".as_ref(), VOUCHED.as_ref(), link.as_os_str()]);
    assert!(lock.exists(), "{}{}", answer.out(), answer.err());
    assert_eq!(answer.code(), 3, "{}{}", answer.out(), answer.err());
    let text = answer.out() + &answer.err();
    assert!(text.contains(ground.path().join("real").to_str().unwrap()), "{text}");
}

/// `--all-users` looks into a home as its user, who may have made it lead elsewhere.
#[test]
fn a_home_of_another_user_is_looked_at_as_that_user() {
    if is_elsewhere() {
        return;
    }
    // A passwd of its own, where only this test sees it.
    let ground = ground();
    let home = dir(&ground.path().join("home"), STRANGER, STRANGER, 0o755);
    let lock = stale(&ground.path().join("root-only"), 0);
    let own = stale(&home.join(".clawdbot"), STRANGER);
    symlink(ground.path().join("root-only"), home.join(".openclaw")).unwrap();
    lchown(home.join(".openclaw"), Some(STRANGER), Some(STRANGER)).unwrap();
    let passwd = ground.path().join("passwd");
    std::fs::write(&passwd, format!("a:x:{STRANGER}:{STRANGER}::{}:/bin/sh\n", home.display())).unwrap();
    rustix::mount::mount_bind(&passwd, "/etc/passwd").unwrap();
    let answer = doctor(["repair", "--yes", "--all-users", VOUCHED]);
    assert!(lock.exists(), "{}{}", answer.out(), answer.err());
    assert!(!own.exists(), "{}{}", answer.out(), answer.err());
}

/// One namer's refusal hides nobody else's place.
#[test]
fn a_place_that_root_names_too_is_looked_at_as_root() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let state = ground.path().join("state");
    let lock = stale(&state, 0);
    let _running = openclaw(ground.path(), STRANGER, STRANGER, &[], &[("OPENCLAW_STATE_DIR", &state)]);
    let mut run = command();
    run.args(["repair", "--yes", VOUCHED]).env("OPENCLAW_STATE_DIR", &state).stdin(Stdio::null());
    let answer = Answer(run.output().unwrap());
    assert!(!lock.exists(), "{}{}", answer.out(), answer.err());
    let mut scan = command();
    scan.args(["scan", "--json", VOUCHED]).env("OPENCLAW_STATE_DIR", &state).stdin(Stdio::null());
    let roots = Answer(scan.output().unwrap()).json()["roots"].clone();
    let here = roots.as_array().unwrap().iter().filter(|root| root["path"] == state.to_str().unwrap()).count();
    assert_eq!(here, 1, "listed once: {roots}");
}

/// A link made in a set-gid directory has that directory's group, which its owner need not be in.
#[test]
fn a_link_lends_its_owner_no_group() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let web = dir(&ground.path().join("web"), STRANGER, GROUP, 0o2755);
    let lock = stale(&ground.path().join("victim"), 0);
    for entry in walkdir::WalkDir::new(ground.path().join("victim")) {
        let path = entry.unwrap().path().to_owned();
        chown(&path, Some(0), Some(GROUP)).unwrap();
        let mode = if path.is_dir() { 0o2770 } else { 0o660 };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let link = web.join("state");
    symlink("../victim", &link).unwrap();
    lchown(&link, Some(STRANGER), Some(GROUP)).unwrap();
    let answer = doctor(["repair".as_ref(), "--yes".as_ref(), VOUCHED.as_ref(), link.as_os_str()]);
    assert!(lock.exists(), "{}{}", answer.out(), answer.err());
    assert_eq!(answer.code(), 3, "{}{}", answer.out(), answer.err());
}

/// `sudo ln -s` in a user's home: it leads as far as that user comes.
#[test]
fn a_link_that_root_made_in_a_home_leads_as_far_as_its_user_comes() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    let home = dir(&ground.path().join("home"), STRANGER, STRANGER, 0o755);
    let (users, roots) = (stale(&ground.path().join("users"), STRANGER), stale(&ground.path().join("roots"), 0));
    for (name, gone) in [("users", true), ("roots", false)] {
        let link = home.join(name);
        symlink(ground.path().join(name), &link).unwrap();
        let answer = doctor(["repair".as_ref(), "--yes".as_ref(), VOUCHED.as_ref(), link.as_os_str()]);
        let lock = if gone { &users } else { &roots };
        assert_eq!(!lock.exists(), gone, "{name}: {}{}", answer.out(), answer.err());
    }
}

/// A volume that is not mounted here is no place without locks.
#[test]
fn a_state_dir_that_is_a_link_to_nowhere_is_no_absent_one() {
    if is_elsewhere() {
        return;
    }
    let ground = ground();
    symlink("/volume-that-is-not-mounted/oc", ground.path().join(".openclaw")).unwrap();
    let mut scan = command();
    let answer = Answer(scan.arg("scan").env("HOME", ground.path()).stdin(Stdio::null()).output().unwrap());
    assert_eq!(answer.code(), 3, "{}{}", answer.out(), answer.err());
    assert!(!answer.out().contains("Nothing stale"), "{}", answer.out());
}
