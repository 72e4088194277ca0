//! The words for verdicts: each is one sentence with the numbers that decided, and no advice
//! leads to the removal of a lock that is held.
#![allow(missing_docs, clippy::unwrap_used)]

mod facts;

use facts::table::{Case, Outcome, cases};
use facts::{
    Facts, HOUR, Moved, NOW, OTHER_TICKS, PID, TAKEN, TICKS, held_by_kernel, lease, lock, owner, process, stranger,
    successor, with_ticks, without_ticks,
};
use openclaw_doctor::evidence::{Candidate, Halted, Life, Reaches, Role};
use openclaw_doctor::explain::{advice, owning, sentence, since, span};
use openclaw_doctor::family::Removal;
use openclaw_doctor::record::Record;
use openclaw_doctor::units::EpochMs;
use openclaw_doctor::verdict::{Classification, Reason};

fn said(case: &Case) -> (String, String) {
    let verdict = case.facts.judge();
    let sentence = sentence(&case.facts.lock, &verdict, &case.facts.view);
    (sentence, advice(case.facts.family, &case.facts.lock, &verdict, None, "/data/lock", &case.facts.view).to_string())
}

/// Every word of it that is a number.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn every_verdict_is_said_in_one_whole_sentence() {
    for case in cases() {
        let (sentence, _) = said(&case);
        let at = format!("{:?}, {}: {sentence}", case.expected.1, case.evidence);
        assert!(sentence.chars().next().is_some_and(char::is_alphanumeric), "no beginning: {at}");
        assert!(sentence.ends_with(|c: char| c.is_alphanumeric() || c == ')'), "no end: {at}");
        for broken in [". ", "  ", " ,", ",,", ", ,", ": ;", " ;", "in the future old", "unknown", "pid 0 "] {
            let reads = broken == "unknown" && sentence.contains("unknown (pid 7)");
            assert!(reads || !sentence.contains(broken), "“{broken}” in {at}");
        }
        assert!(!sentence.chars().any(char::is_control), "a control character in {at}");
    }
}

#[test]
fn a_verdict_on_an_owner_names_its_pid() {
    for case in cases().iter().filter(|case| case.facts.lock.record.owner().is_some()) {
        let (sentence, _) = said(case);
        assert!(numbers(&sentence).contains(&u64::from(PID)), "{}: {sentence}", case.evidence);
    }
}

#[test]
fn a_verdict_by_start_ticks_shows_both_numbers() {
    for case in cases() {
        let (sentence, _) = said(&case);
        let shown = numbers(&sentence);
        let (class, reason, _) = case.expected;
        let by_ticks = [Reason::OwnerAlive, Reason::IdentityContradicted].contains(&reason)
            || class == Classification::StaleRecycledPid;
        if by_ticks {
            assert!(shown.contains(&TICKS.0), "{}: {sentence}", case.evidence);
        }
        let strangers = case.facts.lock.candidates.iter().any(|c| c.start_ticks == [OTHER_TICKS]);
        if class == Classification::StaleRecycledPid && strangers {
            assert!(shown.contains(&OTHER_TICKS.0), "{}: {sentence}", case.evidence);
        }
    }
}

#[test]
fn what_takes_a_proof_away_is_named() {
    for case in cases() {
        let (sentence, _) = said(&case);
        let named = match case.expected.1 {
            Reason::RootInUse => "npm install (pid 4242)",
            Reason::ForeignKernelPossible => "nfs",
            Reason::OwnerHidden => "hidepid",
            Reason::NotProcfs | Reason::ProcessTableUnreadable => "is not procfs",
            Reason::SharedVolume => "the mount /data (ext4), which other containers may share",
            _ => continue,
        };
        assert!(sentence.contains(named), "{}: {sentence}", case.evidence);
    }
}

#[test]
fn a_carrier_that_decides_is_named() {
    for case in cases() {
        let (sentence, _) = said(&case);
        let carries = [
            Reason::CarrierNotJavascript,
            Reason::CarrierStartedLater,
            Reason::CarrierMayBeOwner,
            Reason::StartTicksDiffer,
            Reason::StartTicksUnreadable,
        ];
        if carries.contains(&case.expected.1) {
            let first = case.facts.lock.candidates.iter().find(|c| c.life != Life::Dead).unwrap();
            let name = first.program.as_deref().unwrap_or("a process that cannot be read");
            assert!(sentence.contains(name), "{}: {sentence}", case.evidence);
        }
    }
}

#[test]
fn no_two_reasons_about_the_same_record_sound_alike() {
    let mut said_of: Vec<(Reason, String)> = Vec::new();
    for case in cases() {
        let (sentence, _) = said(&case);
        for (reason, other) in &said_of {
            assert!(
                *reason == case.expected.1 || *other != sentence,
                "{reason:?} and {:?}: {sentence}",
                case.expected.1
            );
        }
        said_of.push((case.expected.1, sentence));
    }
}

#[test]
fn no_advice_on_a_held_lock_is_to_remove_it() {
    for case in cases() {
        let (sentence, advice) = said(&case);
        match case.expected.2 {
            Outcome::Held => {
                for word in ["--yes", "repair", "--lock", "/data/lock"] {
                    assert!(!advice.contains(word), "{}: {advice}", case.evidence);
                }
                assert!(advice.starts_with("wait for "), "{}: {advice}", case.evidence);
            }
            Outcome::Proof => assert_eq!(advice, "openclaw-doctor repair /data/lock", "{sentence}"),
            Outcome::LikelyStale => {
                assert!(advice.ends_with("openclaw-doctor repair --yes /data/lock"), "{sentence}: {advice}");
            }
            // The kernel releases it: nobody's word is asked for.
            Outcome::LikelyHeld if case.facts.family.removal == Removal::Never => {
                assert!(advice.contains("never removed"), "{sentence}: {advice}");
                assert!(!advice.contains("openclaw-doctor"), "{sentence}: {advice}");
            }
            // More rights come before anybody's word.
            Outcome::LikelyHeld if case.expected.1 == Reason::RecordUnreadable => {
                assert!(advice.contains("as root"), "{sentence}: {advice}");
            }
            // What no removal takes, whatever the word.
            Outcome::LikelyHeld
                if matches!(
                    case.expected.1,
                    Reason::LockSymlink | Reason::LockNotDirectory | Reason::LockNotFile | Reason::LockNotEmpty
                ) =>
            {
                assert!(advice.contains("by hand") && !advice.contains("openclaw-doctor"), "{sentence}: {advice}");
            }
            // By name only, after a look.
            Outcome::LikelyHeld => {
                assert!(advice.ends_with("openclaw-doctor repair --lock /data/lock --yes"), "{sentence}: {advice}");
            }
            Outcome::OutOfSight => assert!(!advice.contains("repair --yes"), "{sentence}: {advice}"),
            Outcome::Undetermined => {}
        }
    }
}

#[test]
fn out_of_sight_is_answered_by_the_command_that_lifts_it() {
    let facts = with_ticks().in_container();
    let said = advice(facts.family, &facts.lock, &facts.judge(), None, "/data/lock", &facts.view).to_string();
    assert!(said.starts_with("run it on the host; or, if nothing outside"), "{said}");
    assert!(said.ends_with("openclaw-doctor repair --assume-single-writer /data/lock"), "{said}");
}

#[test]
fn a_corpse_is_never_shown_as_the_owner_to_stop() {
    let facts = with_ticks().and(stranger()).and(owner());
    let verdict = facts.judge();
    assert_eq!(owning(&facts.lock).map(|process| process.pid), Some(PID));
    assert!(sentence(&facts.lock, &verdict, &facts.view).starts_with("openclaw (pid 7) is the recorded owner"));
    assert!(advice(facts.family, &facts.lock, &verdict, None, "/data/lock", &facts.view).words.contains("kill 7)"));
    let corpse = with_ticks().and(Candidate { life: Life::Dead, ..owner() });
    assert_eq!(owning(&corpse.lock), None);
}

#[test]
fn an_owner_in_a_container_is_named_by_both_pids_and_its_container() {
    let inside = Candidate { pid: 51_234, own_namespace: false, ..owner() };
    let say = |candidate: Candidate| {
        let facts = with_ticks().and(candidate);
        sentence(&facts.lock, &facts.judge(), &facts.view)
    };
    assert!(say(inside.clone()).contains("openclaw (pid 51234 here, 7 in its container)"));
    let contained = Candidate { container: Some("0123456789ab".to_owned()), ..inside };
    assert!(say(contained).contains("openclaw (pid 51234 here, container 0123456789ab)"));
}

/// On a host of 400 containers a sentence that names all who have pid 7 says nothing.
#[test]
fn only_those_who_decide_are_named_and_openclaw_first() {
    let say = |facts: &Facts| sentence(&facts.lock, &facts.judge(), &facts.view);
    let later = || successor().started_after(HOUR, Some(0));
    // Postgres decides nothing, and the one that started later is not said to be the owner.
    let facts = without_ticks().and(stranger()).and(later()).and(process("node", Role::JavaScript, OTHER_TICKS));
    let said = say(&facts);
    assert!(said.ends_with("pid 7 is node, which may be it"), "{said}");
    let facts = without_ticks().and(stranger()).and(later());
    assert!(say(&facts).ends_with("pid 7 is now openclaw, which started after the lock was made"), "{}", say(&facts));
    let many = (0..400).fold(with_ticks().and(stranger()), |facts, _| facts.and(stranger())).and(successor());
    assert!(
        say(&many).starts_with("pid 7 is now openclaw, postgres, postgres and 399 more, started at tick"),
        "{}",
        say(&many)
    );
    let far = without_ticks().and(Candidate { reaches: Reaches::No, ..owner() }).and(stranger());
    assert!(say(&far).starts_with("pid 7 is openclaw: its start cannot be compared"), "{}", say(&far));
}

#[test]
fn nobody_is_told_to_wait_for_who_cannot_run() {
    let advised = |candidate: Candidate| {
        let facts = with_ticks().and(candidate);
        let verdict = facts.judge();
        let said = advice(facts.family, &facts.lock, &verdict, None, "/data/lock", &facts.view).to_string();
        assert!(!said.contains("wait for"), "{said}");
        assert!(sentence(&facts.lock, &verdict, &facts.view).contains("releases nothing"));
        said
    };
    let frozen = Candidate { halted: Halted::Frozen, ..owner() };
    let paused = Candidate { container: Some("0123456789ab".to_owned()), ..frozen.clone() };
    assert!(advised(Candidate { halted: Halted::Stopped, ..owner() }).ends_with(": kill -CONT 7"));
    assert!(advised(Candidate { halted: Halted::Traced, ..owner() }).contains("a debugger holds"));
    assert!(advised(frozen).contains("cgroup.freeze"));
    assert!(advised(paused).ends_with(": docker unpause 0123456789ab"));
}

#[test]
fn who_holds_a_kernels_lock_is_named_if_the_kernel_names_it() {
    let say = |facts: Facts| sentence(&facts.lock, &facts.judge(), &facts.view);
    let held = say(held_by_kernel(Some(stranger())));
    assert_eq!(held, "the kernel says that postgres (pid 7) holds a lock on this file");
    let nameless = say(held_by_kernel(None));
    assert!(nameless.contains("cannot be seen from here"), "{nameless}");
    // Who has the pid of a record is not who the kernel names.
    assert_eq!(owning(&lock(Record::KernelUnknown).and(owner()).lock), None);
}

#[test]
fn ages_are_in_units_of_people() {
    let facts = lock(Record::Missing).touched_ago(45_000);
    assert_eq!(sentence(&facts.lock, &facts.judge(), &facts.view), "there is no owner record, 45 s old");
    let facts = lease(None).touched_ago(-1);
    let said = sentence(&facts.lock, &facts.judge(), &facts.view);
    assert_eq!(said, "the record names no pid: a lease, dated in the future");
    for (milliseconds, words) in [
        (-1_000, "in the future"),
        (0, "0 s"),
        (119_999, "119 s"),
        (120_000, "2 min"),
        (7_199_999, "119 min"),
        (7_200_000, "2 h"),
        (172_799_999, "47 h"),
        (172_800_000, "2 days"),
        (i64::MAX, "106751991167 days"),
    ] {
        assert_eq!(span(milliseconds), words);
    }
}

/// A copied file has the time of the copy; the record keeps the owner's.
#[test]
fn a_lock_is_as_old_as_its_record_says() {
    assert_eq!(since(&with_ticks().touched_ago(0).lock), Some(TAKEN));
    let earlier = EpochMs(TAKEN.0 - HOUR);
    assert_eq!(since(&lease(Some(earlier)).touched_ago(0).lock), Some(earlier));
    for undated in [with_ticks().undated(), lease(None), lock(Record::Missing)] {
        assert_eq!(since(&undated.touched_ago(0).lock), Some(NOW));
    }
}
