//! What is left to OpenClaw, and on whose word each family's locks go: every family, verdict,
//! restraint and permission, against the table of DESIGN section 4 written out once more.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod facts;

use facts::table::{Outcome, cases_of};
use facts::{Facts, lock, stranger, with_ticks, without_ticks};
use openclaw_doctor::explain::{advice, left_to};
use openclaw_doctor::family::{FAMILIES, Family, Removal, by_name};
use openclaw_doctor::plan::{Allowed, Intent, Left, intent};
use openclaw_doctor::record::Record;
use openclaw_doctor::release::{OwnerRelease, ReleaseUnknown};
use openclaw_doctor::restraint::{By, Reader, Restraint, User, Wanted, asks_who_runs, restraint};
use openclaw_doctor::sys::authority::Ids;
use openclaw_doctor::verdict::{Classification, Leaning, Reason, Standing, Verdict};
use openclaw_doctor::warrant::{Basis, Warrant};
use openclaw_doctor::who::{CannotTell, NotLooked, Unknown, What, WhyUnknown};
use rustix::io::Errno;
use std::collections::BTreeSet;

fn family(name: &str) -> &'static Family {
    by_name(name).unwrap()
}

fn user(versions: &[&str]) -> User {
    let versions = versions.iter().map(|version| (*version).to_owned()).collect();
    User { pid: 4_242, program: "openclaw".to_owned(), versions }
}

fn cannot_tell() -> CannotTell {
    let ids = Some(Ids { uid: 0, gid: 0, groups: vec![0] });
    let cause = WhyUnknown::Unread(What::Environment, Errno::ACCESS);
    CannotTell::Process { first: Unknown { pid: 4_242, program: Some("node".to_owned()), ids, cause }, more: 2 }
}

fn recovery(version: Option<&str>, running: Option<User>) -> Restraint {
    let reader =
        version.map_or(Reader::Unknown(ReleaseUnknown::NotWritten), |version| Reader::Release(version.to_owned()));
    Restraint::Recovery { reader, running }
}

fn restraints() -> [Option<Restraint>; 9] {
    [
        None,
        Some(recovery(None, None)),
        Some(recovery(Some("2026.7.1"), None)),
        Some(recovery(Some("2026.7.1"), Some(user(&["2026.7.1"])))),
        Some(Restraint::SelfHealing(By::User(user(&["2026.9.6"])))),
        Some(Restraint::SelfHealing(By::User(user(&[])))),
        Some(Restraint::SelfHealing(By::CannotTell(cannot_tell()))),
        Some(Restraint::InUse(By::User(user(&["2026.9.6"])))),
        Some(Restraint::InUse(By::CannotTell(cannot_tell()))),
    ]
}

fn permissions() -> impl Iterator<Item = Allowed> {
    (0..8).map(|bits| Allowed { yes: bits & 1 > 0, interactive: bits & 2 > 0, named: bits & 4 > 0 })
}

/// Every verdict that the table of evidence can give of a lock of this family.
fn verdicts(family: &'static Family) -> Vec<(&'static str, Facts, Verdict)> {
    let judged = |case: facts::table::Case| {
        let verdict = case.facts.judge();
        (case.evidence, case.facts, verdict)
    };
    cases_of(family).into_iter().map(judged).collect()
}

/// Whose word takes a lock of such a standing: nobody's, an answer, `--yes`, its name.
fn takes(outcome: Outcome) -> [bool; 4] {
    match outcome {
        Outcome::Proof => [true, true, true, true],
        Outcome::LikelyStale | Outcome::Undetermined => [false, true, true, true],
        Outcome::OutOfSight => [false, true, false, true],
        Outcome::LikelyHeld => [false, false, false, true],
        Outcome::Held => [false, false, false, false],
    }
}

const WORDS: [Basis; 4] = [Basis::Proof, Basis::Answer, Basis::Yes, Basis::Named];

/// The same with what the family and a restraint forbid.
fn allowed(family: &Family, outcome: Outcome, restraint: Option<&Restraint>) -> [bool; 4] {
    let by_family = match (family.removal, outcome) {
        (Removal::Never, _) => [false; 4],
        (Removal::OnProof, Outcome::Proof) | (Removal::OnWarrant | Removal::AfterRecovery(_), _) => takes(outcome),
        (Removal::OnProof, _) => [false; 4],
    };
    let unforbidden = match restraint {
        None => [true; 4],
        Some(Restraint::Recovery { .. }) => [false, true, true, true],
        Some(Restraint::SelfHealing(_) | Restraint::InUse(_)) => [false, false, false, true],
    };
    std::array::from_fn(|word| by_family.get(word) == Some(&true) && unforbidden.get(word) == Some(&true))
}

#[test]
fn a_warrant_is_given_where_the_table_allows_it_and_nowhere_else() {
    let mut given = 0;
    for family in FAMILIES {
        for (evidence, _, verdict) in verdicts(family) {
            for restraint in restraints() {
                let table = allowed(family, Outcome::from(&verdict), restraint.as_ref());
                for (word, is_allowed) in WORDS.into_iter().zip(table) {
                    let warrant = Warrant::new(family, &verdict, restraint.as_ref(), word);
                    let at = format!("{}, {evidence}, {restraint:?}, {word:?}", family.name);
                    assert_eq!(warrant.is_some(), is_allowed, "{at}");
                    let Some(warrant) = warrant else { continue };
                    given += 1;
                    // What is proven, and not held back, rests on nobody's word.
                    let by_proof = verdict.proof() && restraint.is_none();
                    assert_eq!(warrant.basis(), if by_proof { Basis::Proof } else { word }, "{at}");
                    assert!(warrant.still_holds(&verdict), "{at}");
                }
            }
        }
    }
    assert!(given > 1_000, "{given}");
}

/// A pid that was dead and is another's now is another finding, though either is proven.
#[test]
fn a_warrant_ends_with_the_class_or_the_standing_that_it_was_given_for() {
    let mut met = BTreeSet::new();
    for family in FAMILIES {
        let verdicts = verdicts(family);
        for (_, _, was) in &verdicts {
            let Some(warrant) = Warrant::new(family, was, None, Basis::Named) else { continue };
            for (evidence, _, now) in &verdicts {
                let (class, standing) = (was.classification != now.classification, was.standing != now.standing);
                assert_eq!(warrant.still_holds(now), !class && !standing, "{}, {evidence}: {was:?}", family.name);
                met.insert((class, standing));
            }
        }
    }
    assert_eq!(met.len(), 4, "{met:?}");
}

/// A law of its own, so that no slip in the table above hides it.
#[test]
fn no_word_removes_what_is_held_or_is_never_removed() {
    for family in FAMILIES {
        for (evidence, _, verdict) in verdicts(family) {
            if verdict.standing != Standing::Held && family.removal != Removal::Never {
                continue;
            }
            for restraint in restraints() {
                for word in WORDS {
                    let at = format!("{}, {evidence}, {restraint:?}, {word:?}", family.name);
                    assert_eq!(Warrant::new(family, &verdict, restraint.as_ref(), word), None, "{at}");
                }
                for allowed in permissions() {
                    let planned = intent(family, &verdict, restraint.as_ref(), allowed);
                    assert_eq!(planned.word(), "leave", "{}, {evidence}, {allowed:?}", family.name);
                }
            }
        }
    }
}

#[test]
fn what_openclaw_fails_closed_on_needs_a_proof_whatever_the_word() {
    let mut left = 0;
    for family in FAMILIES.iter().filter(|family| family.removal == Removal::OnProof) {
        for (evidence, facts, verdict) in verdicts(family) {
            let Some(leaning) = verdict.leaning() else { continue };
            for allowed in permissions() {
                let planned = intent(family, &verdict, None, allowed);
                assert_eq!(planned, Intent::Leave(Left::NeedsProof(leaning)), "{}, {evidence}", family.name);
            }
            let said = advice(family, &facts.lock, &verdict, None, "/data/lock", &facts.view);
            assert_eq!(said.command, None, "{}, {evidence}: {said}", family.name);
            left += 1;
        }
    }
    assert!(left > 0);
}

/// What the plan must say, from the table alone.
fn planned(
    family: &Family,
    verdict: &Verdict,
    restraint: Option<&Restraint>,
    given: Allowed,
) -> (&'static str, String) {
    let [nobody, answer, yes, named] = allowed(family, Outcome::from(verdict), restraint);
    let remove = match (given.yes, given.named) {
        (true, true) => named,
        (true, false) => yes,
        (false, _) => nobody,
    };
    let ask = given.interactive && !given.yes && if given.named { named } else { answer };
    let leaning = || verdict.leaning().map_or("", Leaning::word);
    if remove {
        return ("remove", String::new());
    }
    if ask {
        return ("ask", if given.named { "Named".to_owned() } else { "Answer".to_owned() });
    }
    let why = match (Outcome::from(verdict), family.removal, restraint) {
        (Outcome::Held, ..) => "a living process holds it".to_owned(),
        (_, Removal::Never, _) => "never removed".to_owned(),
        (outcome, Removal::OnProof, _) if outcome != Outcome::Proof => format!("({})|no word is enough", leaning()),
        (_, _, Some(Restraint::SelfHealing(_))) => "self-healing".to_owned(),
        (_, _, Some(Restraint::InUse(_))) => "in-use".to_owned(),
        (Outcome::Proof, _, Some(Restraint::Recovery { .. })) => "recovery".to_owned(),
        _ => format!("({})|no word was given", leaning()),
    };
    ("leave", why)
}

fn told(intent: &Intent) -> (&'static str, String) {
    let why = match intent {
        Intent::Remove(_) => String::new(),
        Intent::Ask(basis) => format!("{basis:?}"),
        Intent::Leave(Left::Active) => "a living process holds it".to_owned(),
        Intent::Leave(Left::NeverRemoved) => "never removed".to_owned(),
        Intent::Leave(Left::NeedsProof(leaning)) => format!("({})|no word is enough", leaning.word()),
        Intent::Leave(Left::NeedsWord(leaning)) => format!("({})|no word was given", leaning.word()),
        Intent::Leave(Left::SelfHealing) => "self-healing".to_owned(),
        Intent::Leave(Left::InUse) => "in-use".to_owned(),
        Intent::Leave(Left::Recovery) => "recovery".to_owned(),
    };
    (intent.word(), why)
}

#[test]
fn every_plan_is_the_table_s_and_says_the_right_reason() {
    let mut met = BTreeSet::new();
    for family in FAMILIES {
        for (evidence, _, verdict) in verdicts(family) {
            for restraint in restraints() {
                for given in permissions() {
                    let found = told(&intent(family, &verdict, restraint.as_ref(), given));
                    let expected = planned(family, &verdict, restraint.as_ref(), given);
                    assert_eq!(found, expected, "{}, {evidence}, {restraint:?}, {given:?}", family.name);
                    met.insert(found);
                }
            }
        }
    }
    for reason in ["recovery", "self-healing", "in-use", "never removed", "(likely-stale)|no word is enough"] {
        assert!(met.contains(&("leave", reason.to_owned())), "never met: {reason}");
    }
}

/// Every sentence about a lock that is left ends in what its plan would take, and in nothing else.
#[test]
fn the_command_in_an_advice_takes_the_lock_that_it_is_about() {
    for family in FAMILIES {
        for (evidence, facts, verdict) in verdicts(family) {
            for restraint in restraints() {
                let said = advice(family, &facts.lock, &verdict, restraint.as_ref(), "/data/lock", &facts.view);
                let Some(command) = &said.command else { continue };
                let at = format!("{}, {evidence}, {restraint:?}: {said}", family.name);
                let mut seen = facts.clone();
                seen.view.assume_single_writer |= command.contains("--assume-single-writer");
                let verdict = seen.judge();
                let given =
                    Allowed { yes: command.contains("--yes"), named: command.contains("--lock"), interactive: false };
                let table = planned(family, &verdict, restraint.as_ref(), given);
                assert_eq!(table.0, "remove", "{at}");
                // Not more than it takes.
                let less = Allowed { named: false, ..given };
                if given.named {
                    assert_eq!(planned(family, &verdict, restraint.as_ref(), less).0, "leave", "{at}");
                } else if given.yes {
                    let less = Allowed { yes: false, ..less };
                    assert_eq!(planned(family, &verdict, restraint.as_ref(), less).0, "leave", "{at}");
                }
            }
        }
    }
}

fn restrained(family: &Family, verdict: &Verdict, versions: &[&str], users: &[User]) -> Option<Restraint> {
    let release = match versions {
        [] => OwnerRelease::Unknown(ReleaseUnknown::NotWritten),
        known => OwnerRelease::Known(known.iter().map(|version| (*version).to_owned()).collect()),
    };
    restraint(family, verdict, &Wanted { users: users.to_vec(), cannot_tell: None, release })
}

#[test]
fn a_session_lock_is_left_to_the_release_that_takes_up_its_turn() {
    let family = family("session-write");
    let of = |facts: Facts| Facts { family, ..facts }.judge();
    let recovery = |version: Option<&str>| Some(recovery(version, None));
    for verdict in [of(with_ticks()), of(with_ticks().and(stranger())), of(without_ticks().and(stranger()))] {
        for (versions, expected) in [
            (&[][..], recovery(None)),
            (&["2026.4.24"], None),
            (&["2026.4.25"], recovery(Some("2026.4.25"))),
            (&["2026.7.1"], recovery(Some("2026.7.1"))),
            (&["2026.7.2-beta.7"], recovery(Some("2026.7.2-beta.7"))),
            (&["2026.7.35"], recovery(Some("2026.7.35"))),
            (&["2026.8.1-beta.1"], None),
            (&["2026.8.1"], None),
            (&["2026.9.6"], None),
            (&["2026.12.1"], None),
            (&["2026.1.29", "2026.9.6"], None),
            (&["2026.7.1", "2026.9.6"], recovery(Some("2026.7.1"))),
            (&["2026.9.6", "2026.4.29"], recovery(Some("2026.4.29"))),
            // What is no release's version may be any release.
            (&["nightly"], recovery(Some("nightly"))),
            (&["2026.9.6", ""], recovery(Some(""))),
        ] {
            let found = restrained(family, &verdict, versions, &[]);
            assert_eq!(found, expected, "{versions:?}, {:?}", verdict.reason);
            let proof_is_enough = Warrant::new(family, &verdict, found.as_ref(), Basis::Proof).is_some();
            assert_eq!(proof_is_enough, expected.is_none() && verdict.proof(), "{versions:?}");
            for word in [Basis::Answer, Basis::Yes, Basis::Named] {
                assert!(Warrant::new(family, &verdict, found.as_ref(), word).is_some(), "{versions:?} {word:?}");
            }
        }
    }
    for other in FAMILIES.iter().filter(|other| other.name != family.name) {
        let verdict = Facts { family: other, ..with_ticks() }.judge();
        assert_eq!(restrained(other, &verdict, &["2026.7.1"], &[]), None, "{}", other.name);
    }
}

/// What makes a lock stale, as its own releases see it.
#[derive(Debug, Clone, Copy)]
enum Stale {
    Dead,
    Recycled,
    Nobody,
    /// A living process that is no runtime has the pid.
    Stranger,
}

fn stale(family: &'static Family, how: Stale) -> Verdict {
    let facts = match how {
        Stale::Dead => with_ticks(),
        Stale::Recycled => with_ticks().and(stranger()),
        Stale::Nobody => lock(Record::NotRecorded).touched_ago(family.unwritten_grace_ms),
        Stale::Stranger => without_ticks().and(stranger()),
    };
    Facts { family, ..facts }.judge()
}

#[test]
fn a_lock_is_left_to_a_running_openclaw_that_clears_it_and_to_no_other() {
    use Stale::{Dead, Nobody, Recycled, Stranger};
    for (name, how, release, clears) in [
        ("session-store", Dead, "2026.1.29", true),
        ("session-store", Dead, "2026.4.29", true),
        ("session-store", Dead, "2026.5.2", false),
        ("session-store", Recycled, "2026.3.1", false),
        ("session-store", Recycled, "2026.3.2", true),
        ("session-store", Nobody, "2026.4.29", true),
        ("session-store", Stranger, "2026.4.29", false),
        ("sandbox-registry", Dead, "2026.7.1", true),
        ("sandbox-registry", Dead, "2026.8.1", false),
        ("file-lock", Dead, "2026.2.12", false),
        ("file-lock", Dead, "2026.2.17", true),
        ("file-lock", Dead, "2026.9.6", true),
        ("file-lock", Dead, "2027.1.1", true),
        ("file-lock", Recycled, "2026.5.22", false),
        ("file-lock", Recycled, "2026.5.26", true),
        ("file-lock", Nobody, "2026.5.7", true),
        ("file-lock", Nobody, "2026.5.12", false),
        ("file-lock", Stranger, "2026.9.6", false),
        ("proper-lockfile", Nobody, "2026.2.12", true),
        ("proper-lockfile", Nobody, "2026.3.2", false),
        ("proper-lockfile", Nobody, "2026.7.1", true),
        ("proper-lockfile", Nobody, "2026.7.2-beta.7", false),
        ("short-term-promotion", Dead, "2026.6.1", true),
        ("short-term-promotion", Recycled, "2026.6.1", false),
        ("usage-cost", Dead, "2026.7.1", true),
        ("config-clobber", Nobody, "2026.9.6", true),
        ("gateway", Dead, "2026.9.6", false),
        ("gateway-state", Dead, "2026.9.6", false),
        ("exec-approvals", Dead, "2026.7.2-beta.3", false),
        ("fail-closed-file-lock", Dead, "2026.9.6", false),
        ("runtime-deps", Dead, "2026.4.29", false),
    ] {
        let (family, users) = (family(name), [user(&[release])]);
        let verdict = stale(family, how);
        let found = restrained(family, &verdict, &[release], &users);
        let expected = clears.then(|| Restraint::SelfHealing(By::User(user(&[release]))));
        assert_eq!(found, expected, "{name}, {how:?}, {release}");
        // Nobody runs there: nothing holds it back, whatever is installed.
        assert_eq!(restrained(family, &verdict, &[release], &[]), None, "{name}, {how:?}, {release}");
        if let Some(restraint) = found {
            let said = left_to(&restraint);
            assert!(said.contains("openclaw (pid 4242)"), "{said}");
        }
    }
}

/// A guard's directory is not touched while it is held: only that nobody runs speaks for its age.
#[test]
fn a_guard_is_not_taken_from_a_running_openclaw_that_uses_its_directory() {
    let family = family("reclaim-guard");
    let bare = stale(family, Stale::Nobody);
    assert_eq!(restrained(family, &bare, &["2026.9.6"], &[]), None);
    let users = [user(&["2026.9.6"])];
    assert_eq!(restrained(family, &bare, &["2026.9.6"], &users), Some(Restraint::InUse(By::User(user(&["2026.9.6"])))));
    // One that is a file names its owner.
    assert_eq!(restrained(family, &stale(family, Stale::Dead), &["2026.9.6"], &users), None);
}

/// "Removes it by itself" is said only where that release's rule is known; else an operator would wait
/// for nothing. No protocol of ours makes up for a bare directory that is cleared by two.
#[test]
fn a_release_that_cannot_be_told_clears_no_file_and_may_clear_a_bare_directory() {
    let bare = family("proper-lockfile");
    let left = restrained(bare, &stale(bare, Stale::Nobody), &[], &[user(&[])]);
    assert_eq!(left, Some(Restraint::SelfHealing(By::User(user(&[])))));
    assert!(left_to(&left.unwrap()).contains("may remove it by itself"));
    let family = family("file-lock");
    let verdict = stale(family, Stale::Dead);
    for (versions, held_back) in [
        (&[][..], false),
        (&["nightly"], true),
        (&["2026.2.12", "2026.9.6"], true),
        (&["2026.1.29", "2026.2.12"], false),
    ] {
        let found = restrained(family, &verdict, versions, &[user(versions)]);
        assert_eq!(found.is_some(), held_back, "{versions:?}");
    }
    // The second of two processes clears it.
    let both = [user(&["2026.1.29"]), user(&["2026.9.6"])];
    assert_eq!(restrained(family, &verdict, &[], &both), Some(Restraint::SelfHealing(By::User(user(&["2026.9.6"])))));
    // Nobody clears a lock of a family that no release clears, of whatever release he is.
    let never = by_name("gateway").unwrap();
    assert_eq!(restrained(never, &stale(never, Stale::Dead), &[], &[user(&[])]), None);
}

/// Releases of the table below; the last is none, and may be any.
const RELEASES: [&str; 8] =
    ["2026.1.29", "2026.3.2", "2026.4.29", "2026.5.7", "2026.7.1", "2026.7.2-beta.7", "2026.9.6", "?"];

/// Which of them clear a lock of this family by themselves when it is found so (docs/locks.md).
fn clear_it(family: &str, verdict: &Verdict) -> &'static str {
    use Classification::{LegacyUnverifiable, StaleDeadPid, StaleRecycledPid};
    match (family, verdict.classification, verdict.row) {
        ("session-store", StaleDeadPid, _) | ("session-store", LegacyUnverifiable, 1 | 3) => "xxx....?",
        ("session-store", StaleRecycledPid, _) => ".xx....?",
        ("sandbox-registry", StaleDeadPid, _) | ("sandbox-registry", LegacyUnverifiable, 1 | 3) => "xxxxxx.?",
        ("sandbox-registry", StaleRecycledPid, _) => ".xxxxx.?",
        ("file-lock", StaleDeadPid, _) | ("file-lock", LegacyUnverifiable, 3) => ".xxxxxx?",
        ("file-lock", StaleRecycledPid, _) => "....xxx?",
        ("file-lock", LegacyUnverifiable, 1) => ".xxx...?",
        ("proper-lockfile", LegacyUnverifiable, 1 | 3) => "x...x..?",
        ("short-term-promotion", StaleDeadPid, _) | ("short-term-promotion", LegacyUnverifiable, 1 | 3) => "..xx...?",
        ("usage-cost", StaleDeadPid, _) | ("usage-cost", LegacyUnverifiable, 1 | 3) => "...xxx.?",
        ("config-clobber", LegacyUnverifiable, 1) => "...xxxx?",
        _ => "........",
    }
}

/// Which of them read a session's lock to take its turn up.
const TAKE_UP: &str = "..xxxx.?";

/// An empty list of those who run is no "nobody" where it could not be made whole.
#[test]
fn where_it_cannot_be_told_who_runs_nothing_goes_that_somebody_might_clear_or_hold() {
    let not_looked = CannotTell::NotLooked(NotLooked::NotAsked);
    for why in [cannot_tell(), not_looked] {
        let release = OwnerRelease::Unknown(ReleaseUnknown::WhoRuns(why.clone()));
        let unknown = Wanted { users: Vec::new(), cannot_tell: Some(why.clone()), release };
        let nobody =
            Wanted { cannot_tell: None, release: OwnerRelease::Known(vec!["2026.9.6".to_owned()]), ..unknown.clone() };
        let mut met = BTreeSet::new();
        for family in FAMILIES {
            for (evidence, _, verdict) in verdicts(family) {
                let found = restraint(family, &verdict, &unknown);
                let free = restraint(family, &verdict, &nobody);
                assert!(found.is_some() || free.is_none(), "{}, {evidence}", family.name);
                let wants = asks_who_runs(family, &verdict);
                let may_go = !matches!(verdict.standing, Standing::Held | Standing::Leaning(Leaning::LikelyHeld));
                assert_eq!(found.is_some(), wants && may_go, "{}, {evidence}", family.name);
                let Some(found) = found else { continue };
                met.insert(found.word());
                assert!(Warrant::new(family, &verdict, Some(&found), Basis::Proof).is_none(), "{}", family.name);
                assert!(left_to(&found).contains(&why.sentence()), "{found:?}");
                // What a running one might clear or hold, no general word takes either.
                let by_word = Warrant::new(family, &verdict, Some(&found), Basis::Yes).is_some();
                assert!(!by_word || found.word() == "recovery", "{}, {evidence}: {found:?}", family.name);
            }
        }
        assert_eq!(met, BTreeSet::from(["in-use", "recovery", "self-healing"]));
    }
}

/// What is held, or likely held, is left for that reason and no other; and what is held back is
/// held back from everybody's word but its name.
#[test]
fn a_restraint_is_on_what_could_be_removed_and_takes_every_general_word_away() {
    let mut held_back = 0;
    for family in FAMILIES {
        for (evidence, _, verdict) in verdicts(family) {
            for (index, release) in RELEASES.into_iter().enumerate() {
                let found = restrained(family, &verdict, &[release], &[user(&[release])]);
                let at = format!("{}, {evidence}, {release}", family.name);
                let may_go = !matches!(verdict.standing, Standing::Held | Standing::Leaning(Leaning::LikelyHeld));
                let is_one = |of: &str| may_go && of.as_bytes().get(index) != Some(&b'.');
                let heals = is_one(clear_it(family.name, &verdict));
                let recovers = family.name == "session-write" && is_one(TAKE_UP);
                let anybodys = may_go && family.name == "reclaim-guard" && verdict.reason == Reason::OwnerNotRecorded;
                let expected = match (heals, anybodys, recovers) {
                    (true, ..) => Some("self-healing"),
                    (_, true, _) => Some("in-use"),
                    (.., recovers) => recovers.then_some("recovery"),
                };
                assert_eq!(found.as_ref().map(Restraint::word), expected, "{at}");
                if found.is_none() {
                    continue;
                }
                held_back += 1;
                assert_eq!(Warrant::new(family, &verdict, found.as_ref(), Basis::Proof), None, "{at}");
                let named = Warrant::new(family, &verdict, found.as_ref(), Basis::Named).is_some();
                let removable = matches!(family.removal, Removal::OnWarrant | Removal::AfterRecovery(_));
                assert_eq!(named, removable || (family.removal == Removal::OnProof && verdict.proof()), "{at}");
            }
        }
    }
    assert!(held_back > 100, "{held_back}");
}
