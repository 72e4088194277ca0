//! Each lock at its real place, by every way that leads to it.

use super::layout::{From, Layout, Named, Owner, SPOTS, Spot, said};
use super::support::machine::moved_to_own_machine;
use super::support::{Answer, Living, command, dead_pid, doctor, record};
use openclaw_doctor::family::FAMILIES;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

const OWNERS: [Owner; 4] = [Owner::Living, Owner::Dead, Owner::Recycled, Owner::WithoutTicks];

#[test]
fn no_family_is_without_a_place() {
    for family in FAMILIES {
        for form in family.forms {
            let has = |spot: &&Spot| spot.family == family.name && spot.form() == form.word();
            // Nobody has seen the directory form of this one.
            let unseen = (family.name, form.word()) == ("package-lifecycle", "empty-directory");
            assert!(unseen || SPOTS.iter().any(|spot| has(&spot)), "{} as {}", family.name, form.word());
        }
    }
}

#[test]
fn every_lock_is_found_without_a_path_wherever_the_environment_puts_it() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    for named in [Named::Home, Named::StateDir, Named::Profile, Named::Legacy] {
        let layout = Layout::new(named);
        for owner in OWNERS {
            layout.plant(owner, &living);
            let found = layout.locks(&layout.run(["scan", "--json"]));
            let expected = layout.expected(|spot| spot.from != From::Hidden, owner);
            assert_eq!(said(&found), expected, "{named:?} {owner:?}");
        }
    }
}

#[test]
fn every_lock_is_told_with_the_state_dir_that_it_is_of() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    for named in [Named::Home, Named::StateDir, Named::Profile] {
        let layout = Layout::new(named);
        layout.plant(Owner::Dead, &living);
        let found = layout.locks(&layout.run(["scan", "--json"]));
        for spot in layout.spots().filter(|spot| spot.from == From::State && !spot.is_kernel_lock()) {
            let lock = &found[&layout.at(spot)];
            assert_eq!(lock["state_dir"].as_str().map(Path::new), layout.state_of(spot), "{named:?} {spot:?}");
        }
    }
}

/// A gateway's lock of the temp directory is of no state dir: it names its configuration.
#[test]
fn what_lies_in_no_state_dir_is_said_to_be_of_none() {
    if moved_to_own_machine() {
        return;
    }
    let living = Living::sleep();
    let layout = Layout::new(Named::StateDir);
    layout.plant(Owner::Dead, &living);
    let found = layout.locks(&layout.run(["scan", "--json"]));
    for spot in layout.spots().filter(|spot| layout.state_of(spot).is_none() && !spot.is_kernel_lock()) {
        assert!(found[&layout.at(spot)]["state_dir"].is_null(), "{spot:?}: {}", found[&layout.at(spot)]);
    }
}

#[test]
fn a_state_dir_as_path_gives_all_of_its_locks() {
    let living = Living::sleep();
    for named in [Named::Home, Named::StateDir] {
        let layout = Layout::new(named);
        for owner in OWNERS {
            layout.plant(owner, &living);
            let found = layout.locks(&doctor([OsStr::new("scan"), "--json".as_ref(), layout.state.as_ref()]));
            let expected = layout.expected(|spot| layout.state_of(spot).is_some(), owner);
            assert_eq!(said(&found), expected, "{named:?} {owner:?}");
        }
    }
}

#[test]
fn a_single_lock_as_path_gives_that_lock() {
    let living = Living::sleep();
    let layout = Layout::new(Named::StateDir);
    for owner in [Owner::Living, Owner::Dead] {
        layout.plant(owner, &living);
        for spot in layout.spots() {
            let at = layout.at(spot);
            let answer = doctor([OsStr::new("scan"), "--json".as_ref(), at.as_ref()]);
            let found = said(&layout.locks(&answer));
            if spot.is_kernel_lock() {
                let summary = &answer.json()["summary"];
                assert_eq!((&summary["idle"], answer.code(), found.len()), (&1.into(), 0, 0), "{spot:?}");
                continue;
            }
            let expected = layout.expected(|other| layout.at(other) == at, owner);
            assert_eq!(found, expected, "{}", answer.out());
            assert_eq!(answer.code(), i32::from(spot.class(owner) != "active"), "{spot:?}");
        }
    }
}

/// Six levels below the PATH, and below a state dir that is met within them, whatever is in it.
#[test]
fn a_directory_far_above_gives_what_lies_within_six_levels_and_all_of_a_state_dir() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Profile);
    layout.plant(Owner::Dead, &living);
    for above in layout.state.ancestors().take(4) {
        let answer = doctor([OsStr::new("scan"), "--json".as_ref(), above.as_ref()]);
        let within = |spot: &Spot| {
            let below = layout.at(spot).strip_prefix(above).map(|below| below.components().count());
            let in_state_dir = layout.at(spot).starts_with(&layout.state);
            below.is_ok_and(|depth| depth <= 6 || in_state_dir)
                && !layout.at(spot).iter().any(|part| part == "node_modules")
        };
        let expected = layout.expected(within, Owner::Dead);
        assert!(expected.len() > 30, "{above:?}: {}", expected.len());
        assert_eq!(said(&layout.locks(&answer)), expected, "{above:?}");
    }
}

/// A backup of a host's volumes: the state dir is met late, and what is in it lies deep.
#[test]
fn a_state_dir_within_six_levels_gives_its_sessions_and_nothing_else_below_them() {
    let tree = tempfile::tempdir().unwrap();
    let dead = record(dead_pid(), Some(7));
    let state = "vols/v/_data/.openclaw";
    let seen = [
        format!("{state}/agents/main/sessions/s.jsonl.lock"),
        format!("{state}/workspace/memory/.dreams/short-term-promotion.lock"),
        "1/2/3/4/5/gateway.5b681173.lock".to_owned(),
    ];
    let unseen = [
        format!("{state}/browser/6/gateway.5b681173.lock"),
        format!("{state}/agents/main/sessions/archive/s.jsonl.lock"),
        "1/2/3/4/5/6/gateway.5b681173.lock".to_owned(),
        // Met too late.
        "1/2/3/4/5/6/.openclaw/gateway.5b681173.lock".to_owned(),
    ];
    for below in seen.iter().chain(&unseen) {
        let at = tree.path().join(below);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, &dead).unwrap();
    }
    let answer = doctor([OsStr::new("scan"), "--json".as_ref(), tree.path().as_ref()]);
    assert_eq!(paths(&answer, tree.path()), seen.clone().into());
}

/// What a report has found below a directory.
fn paths(answer: &Answer, tree: &Path) -> BTreeSet<String> {
    let json = answer.json();
    let paths = json["locks"].as_array().unwrap().iter().map(|lock| lock["path"].as_str().unwrap());
    let below = paths.filter_map(|path| Path::new(path).strip_prefix(tree).ok());
    below.map(|path| path.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_configuration_of_any_name_has_its_locks_beside_it() {
    if moved_to_own_machine() {
        return;
    }
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        std::fs::create_dir_all(tree.path().join("c")).unwrap();
        std::fs::write(tree.path().join("c").join(name), record(dead_pid(), Some(7))).unwrap();
    };
    ["prod.json", "prod.json.lock", "x.json.lock", "prod.lock", "xprod.json.lock"].iter().for_each(|name| write(name));
    for clobber in ["prod.json.clobber.lock", "x.json.clobber.lock"] {
        std::fs::create_dir(tree.path().join("c").join(clobber)).unwrap();
    }
    let mut doctor = command();
    doctor.args(["scan", "--json"]).env("HOME", tree.path()).env("TMPDIR", tree.path().join("t"));
    doctor.env("OPENCLAW_CONFIG_PATH", tree.path().join("c/prod.json")).stdin(Stdio::null());
    let answer = Answer(doctor.output().unwrap());
    let expected = [("c/prod.json.lock", "file-lock"), ("c/prod.json.clobber.lock", "config-clobber")];
    for (path, family) in expected {
        assert_eq!(answer.lock_at(path)["family"], family, "{}", answer.out());
    }
    let found = paths(&answer, tree.path());
    for alien in ["c/x.json.lock", "c/prod.lock", "c/xprod.json.lock"] {
        assert!(!found.contains(alien), "{alien}: {found:?}");
    }
}

#[test]
fn a_free_coordinator_is_counted_once_however_often_its_place_is_named() {
    let living = Living::sleep();
    let layout = Layout::new(Named::Home);
    layout.plant(Owner::Living, &living);
    let inside = layout.state.join("tmp");
    let free = layout.spots().filter(|spot| spot.is_kernel_lock() && layout.at(spot).starts_with(&inside)).count();
    let args = [OsStr::new("scan"), "--json".as_ref(), layout.state.as_ref(), inside.as_ref(), inside.as_ref()];
    assert_eq!(doctor(args).json()["summary"]["idle"], free);
    assert_eq!(free, 2);
}
