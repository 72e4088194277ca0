//! The laws of the verdict and of the record parser, over generated facts.
//!
//! The generators draw from a few values for each fact, so that coincidences (equal ticks,
//! two carriers of one pid, times at the edge of a limit) are common.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod facts;

use facts::{Facts, NOW, OTHER_TICKS, PID, TICKS};
use openclaw_doctor::evidence::{
    Candidate, Copied, DatabaseUnknown, DatabaseUse, ForeignKernel, Halted, InUse, Life, LockFacts, LockTimes,
    NotAsked, NotComparable, NotSole, OwnView, ProcSource, Reach, Reaches, Role, RouteUnknown, SoleAccess,
    Synchroniser, TimeNamespace, Vantage, VantageWhy, View, Worker,
};
use openclaw_doctor::family::FAMILIES;
use openclaw_doctor::hold::{KernelHold, Untold};
use openclaw_doctor::record::{Hostility, Owner, PID_LIMIT, Record, Unread};
use openclaw_doctor::scope::Scope;
use openclaw_doctor::units::{EpochMs, StartTicks};
use openclaw_doctor::verdict::{Classification, Leaning, Reason, Standing, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustix::io::Errno;
use std::collections::BTreeSet;

/// How far a verdict goes towards removal.
///
/// `out-of-sight` and `undetermined` are one rank: `undetermined` is said of a proc directory
/// that is not procfs and of nothing else (a law below), and there `repair` refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Held,
    LikelyHeld,
    CannotTell,
    LikelyStale,
    Proven,
}

fn rank(verdict: &Verdict) -> Rank {
    match &verdict.standing {
        Standing::Held => Rank::Held,
        Standing::Leaning(Leaning::LikelyHeld) => Rank::LikelyHeld,
        Standing::Leaning(Leaning::OutOfSight | Leaning::Undetermined) => Rank::CannotTell,
        Standing::Leaning(Leaning::LikelyStale) => Rank::LikelyStale,
        Standing::Proven(_) => Rank::Proven,
    }
}

fn moment() -> impl Strategy<Value = Option<EpochMs>> {
    let ages = vec![0, 29_999, 30_000, 60_001, 600_000, 1_800_000, 3_600_000, 90_000_000, -90_000_000];
    prop_oneof![
        1 => Just(None),
        8 => prop::sample::select(ages).prop_map(|age| Some(EpochMs(NOW.0 - age))),
        1 => any::<i64>().prop_map(|ms| Some(EpochMs(ms))),
    ]
}

fn recorded_ticks() -> impl Strategy<Value = Option<StartTicks>> {
    prop_oneof![1 => Just(None), 2 => Just(Some(TICKS))]
}

fn record() -> impl Strategy<Value = Record> {
    let owner = (recorded_ticks(), moment())
        .prop_map(|(start_ticks, created_at)| Record::Owner(Owner { pid: PID, start_ticks, created_at }));
    let nobody = vec![
        Record::Missing,
        Record::Empty,
        Record::Truncated,
        Record::NotJson,
        Record::Unreadable(Unread::System(Errno::ACCESS)),
        Record::Hostile(Hostility::NotAnObject),
        Record::Hostile(Hostility::LockSymlink),
        Record::Hostile(Hostility::LockNotFile),
        Record::Hostile(Hostility::LockNotEmpty),
        Record::NotRecorded,
        Record::NotRecorded,
        Record::KernelHeld { pid: Some(PID) },
        Record::KernelHeld { pid: None },
        Record::KernelUnknown,
    ];
    prop_oneof![
        8 => owner,
        2 => prop::sample::select(nobody),
        1 => moment().prop_map(|created_at| Record::Anonymous { created_at }),
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let ticks = vec![
        vec![],
        vec![TICKS],
        vec![OTHER_TICKS],
        vec![OTHER_TICKS],
        vec![OTHER_TICKS, TICKS],
        vec![StartTicks(TICKS.0 - 9)],
    ];
    let views = vec![
        OwnView::TrueTicks,
        OwnView::TrueTicks,
        OwnView::TrueTicks,
        OwnView::TrueTicks,
        OwnView::Shows(vec![TICKS]),
        OwnView::Shows(vec![OTHER_TICKS]),
        OwnView::NotComparable(NotComparable::OuterNamespace),
        OwnView::NotAsked(NotAsked::Refused),
        OwnView::NotAsked(NotAsked::NoAnswer),
    ];
    let lives = vec![Life::Alive, Life::Alive, Life::Dead, Life::Unknown];
    let clocks = vec![
        TimeNamespace::Initial,
        TimeNamespace::Initial,
        TimeNamespace::Initial,
        TimeNamespace::Shifted,
        TimeNamespace::Unknown,
    ];
    let roles = vec![Role::OpenClaw, Role::JavaScript, Role::Other, Role::Unreadable];
    let steps = vec![None, Some(0), Some(0), Some(500), Some(u64::MAX)];
    // Just now is later than nearly everything: the start that rows 4 and 5 ask for.
    let start = prop_oneof![1 => Just(Some(NOW)), 1 => moment()];
    (
        prop::sample::select(ticks),
        prop::sample::select(lives),
        (prop::sample::select(clocks), prop::sample::select(views)),
        prop::sample::select(roles),
        prop::sample::select(steps),
        start,
        prop::bool::weighted(0.7),
        prop::bool::weighted(0.1),
        prop::sample::select(vec![Reaches::Yes, Reaches::No, Reaches::CannotTell(RouteUnknown::Mounts)]),
    )
        .prop_map(
            |(
                start_ticks,
                life,
                (time_namespace, own_view),
                role,
                clock_step_ms,
                started_at,
                own,
                is_self,
                reaches,
            )| {
                let program = (role != Role::Unreadable).then(|| "program".to_owned());
                Candidate {
                    pid: if own { PID } else { 40_000 },
                    ns_pid: PID,
                    life,
                    state: 'S',
                    start_ticks,
                    time_namespace,
                    own_view,
                    started_at,
                    clock_step_ms,
                    program,
                    role,
                    own_namespace: own,
                    is_self,
                    container: None,
                    reaches,
                    halted: Halted::No,
                }
            },
        )
}

fn database_uses() -> Vec<DatabaseUse<Option<Worker>>> {
    let unknown = DatabaseUse::CannotTell(DatabaseUnknown::Unreadable);
    vec![DatabaseUse::Free(NOW), DatabaseUse::Free(EpochMs(0)), DatabaseUse::Held(None), unknown]
}

fn lock_facts() -> impl Strategy<Value = LockFacts> {
    (
        record(),
        (moment(), moment(), moment()),
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::collection::vec(candidate(), 0..4),
        prop::bool::weighted(0.15),
        0..3_usize,
        (hold(), hold(), prop::bool::weighted(0.8), prop::bool::weighted(0.1)),
        (any::<bool>(), prop::sample::select(database_uses())),
    )
        .prop_map(|(record, times, foreign, own_layer, candidates, worked_in, unknown, told, used)| {
            let (lock_modified, record_modified, record_born) = times;
            let has_file = facts::has_file(&record);
            LockFacts {
                times: LockTimes {
                    lock_modified,
                    record_modified: record_modified.filter(|_| has_file),
                    record_born: record_born.filter(|_| has_file),
                },
                record,
                reach: if foreign {
                    Reach::OtherKernelPossible(ForeignKernel::FilesystemUnknown)
                } else {
                    Reach::ThisKernel
                },
                sole_access: if own_layer && told.2 {
                    SoleAccess::OwnLayer
                } else if own_layer {
                    SoleAccess::OwnSystem
                } else {
                    SoleAccess::No(NotSole::MountUnknown)
                },
                candidates: candidates.into(),
                in_use: InUse {
                    by: worked_in.then(|| Worker { pid: 9, program: "npm".to_owned() }).into_iter().collect(),
                    unknown,
                },
                coordinator: told.0,
                kernel_lock: told.1,
                kernel_holders: Vec::new(),
                surely_openclaws: told.2,
                synchroniser: told.3.then_some(Synchroniser { pid: 9, program: "rsync" }),
                owner_keeps_database: used.0,
                database: used.1,
            }
        })
}

fn hold() -> impl Strategy<Value = KernelHold> {
    prop_oneof![
        18 => Just(KernelHold::Free),
        1 => Just(KernelHold::HELD),
        1 => Just(KernelHold::Unknown(Untold::NotAllowed)),
    ]
}

fn view() -> impl Strategy<Value = View> {
    let vantages = vec![Vantage::Host, Vantage::Host, Vantage::Namespace, Vantage::Namespace, Vantage::Restricted];
    let sources =
        vec![ProcSource::Own, ProcSource::Own, ProcSource::Foreign, ProcSource::NotProcfs, ProcSource::Unreadable];
    let parts = (prop::sample::select(vantages), prop::sample::select(sources), any::<bool>());
    parts.prop_map(|(vantage, source, assume_single_writer)| View {
        vantage,
        source,
        seen: VantageWhy::Unreadable { processes: 1 },
        now: NOW,
        ticks_per_second: 100,
        assume_single_writer,
        scope: Scope::default(),
    })
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (0..FAMILIES.len(), lock_facts(), view()).prop_map(|(family, lock, view)| Facts {
        family: &FAMILIES[family],
        lock,
        view,
    })
}

/// Facts that prove a lock stale.
fn proven_facts() -> impl Strategy<Value = Facts> {
    let bare = any_facts().prop_map(|mut facts| {
        facts.lock.reach = Reach::ThisKernel;
        facts.lock.in_use.by.clear();
        facts.view.source = ProcSource::Own;
        facts
    });
    bare.prop_filter("proves", |facts| facts.judge().proof())
}

/// A way to lose evidence: every poorer set of facts that it can leave.
type Loss = (&'static str, fn(&Facts) -> Vec<Facts>);

fn each_candidate(facts: &Facts, lose: impl Fn(&Candidate) -> Vec<Candidate>) -> Vec<Facts> {
    let mut poorer = Vec::new();
    for (index, candidate) in facts.lock.candidates.iter().enumerate() {
        for less in lose(candidate) {
            let mut facts = facts.clone();
            facts.lock.candidates[index] = less;
            poorer.push(facts);
        }
    }
    poorer
}

fn with_lock(facts: &Facts, lose: impl FnOnce(&mut LockFacts)) -> Vec<Facts> {
    let mut facts = facts.clone();
    lose(&mut facts.lock);
    vec![facts]
}

fn with_view(facts: &Facts, lose: impl FnOnce(&mut View)) -> Vec<Facts> {
    let mut facts = facts.clone();
    lose(&mut facts.view);
    vec![facts]
}

/// Far enough, and no times collapse at the ends of an integer.
const FIVE_CENTURIES_MS: i64 = 500 * 365 * 24 * 3_600_000;

/// Whether the record was brought here from elsewhere: see the first law.
fn is_copy(lock: &LockFacts) -> bool {
    lock.times.copied() == Copied::Yes
}

/// What can be lost while every process that carries the pid stays in sight.
const LOSSES: &[Loss] = &[
    ("a candidate's start time", |facts| {
        each_candidate(facts, |c| vec![Candidate { start_ticks: vec![], ..c.clone() }])
    }),
    ("a candidate's stat file", |facts| {
        each_candidate(facts, |c| vec![Candidate { start_ticks: vec![], started_at: None, state: '?', ..c.clone() }])
    }),
    ("all of a candidate but its pid", |facts| {
        each_candidate(facts, |c| vec![Candidate { own_namespace: c.own_namespace, ..Candidate::out_of_list(c.pid) }])
    }),
    ("a candidate's life", |facts| each_candidate(facts, |c| vec![Candidate { life: Life::Unknown, ..c.clone() }])),
    ("a candidate's name", |facts| {
        each_candidate(facts, |c| vec![Candidate { role: Role::Unreadable, program: None, ..c.clone() }])
    }),
    ("a candidate's time namespace", |facts| {
        each_candidate(facts, |c| vec![Candidate { time_namespace: TimeNamespace::Unknown, ..c.clone() }])
    }),
    ("a candidate's clock offsets, and with them what it would have recorded", |facts| {
        each_candidate(facts, |c| {
            let time_namespace = TimeNamespace::Unknown;
            let one = |ticks: &StartTicks| Candidate { start_ticks: vec![*ticks], time_namespace, ..c.clone() };
            c.start_ticks.iter().map(one).collect()
        })
    }),
    ("the right to look at a candidate's own /proc, which tells root what all can read of a stranger's", |facts| {
        each_candidate(facts, |c| {
            let own_view = match &c.own_view {
                OwnView::TrueTicks => OwnView::NotAsked(NotAsked::Refused),
                OwnView::Shows(_) => OwnView::NotComparable(NotComparable::OuterNamespace),
                known => known.clone(),
            };
            vec![Candidate { own_view, ..c.clone() }]
        })
    }),
    ("all of a candidate's own view", |facts| {
        each_candidate(facts, |c| {
            let lost = [NotAsked::NoAnswer, NotAsked::NotNeeded].map(OwnView::NotAsked);
            lost.map(|own_view| Candidate { own_view, ..c.clone() }).to_vec()
        })
    }),
    ("a candidate's start on the wall clock", |facts| {
        each_candidate(facts, |c| vec![Candidate { started_at: None, ..c.clone() }])
    }),
    ("a candidate's clock witness", |facts| {
        each_candidate(facts, |c| vec![Candidate { clock_step_ms: None, ..c.clone() }])
    }),
    ("a candidate's mounts and open files", |facts| {
        each_candidate(facts, |c| vec![Candidate { reaches: Reaches::CannotTell(RouteUnknown::Mounts), ..c.clone() }])
    }),
    ("that only OpenClaw gives such a name", |facts| with_lock(facts, |lock| lock.surely_openclaws = false)),
    ("who has the databases open", |facts| {
        with_lock(facts, |lock| lock.database = DatabaseUse::CannotTell(DatabaseUnknown::Unreadable))
    }),
    ("that its owner keeps them open", |facts| with_lock(facts, |lock| lock.owner_keeps_database = false)),
    ("that nobody copies files here", |facts| {
        with_lock(facts, |lock| lock.synchroniser = Some(Synchroniser { pid: 9, program: "rsync" }))
    }),
    ("the record's birth", |facts| {
        with_lock(facts, |lock| lock.times.record_born = lock.times.record_born.filter(|_| is_copy(lock)))
    }),
    ("the lock's time of change", |facts| with_lock(facts, |lock| lock.times.lock_modified = None)),
    ("the record's time of change", |facts| {
        with_lock(facts, |lock| lock.times.record_modified = lock.times.record_modified.filter(|_| is_copy(lock)))
    }),
    ("the recorded time", |facts| {
        with_lock(facts, |lock| match &mut lock.record {
            Record::Owner(owner) => owner.created_at = None,
            Record::Anonymous { created_at } => {
                let newest = lock.times.lock_modified.max(lock.times.record_modified);
                if *created_at <= newest {
                    *created_at = None;
                }
            }
            _ => {}
        })
    }),
    ("the kernel's answer", |facts| {
        with_lock(facts, |lock| {
            if matches!(lock.record, Record::KernelHeld { .. }) {
                lock.record = Record::KernelUnknown;
            }
        })
    }),
    ("the name of who holds the kernel's lock", |facts| {
        with_lock(facts, |lock| {
            if let Record::KernelHeld { pid } = &mut lock.record {
                *pid = None;
                lock.candidates.clear();
            }
        })
    }),
    ("the record", |facts| with_lock(facts, |lock| lock.record = Record::Unreadable(Unread::System(Errno::ACCESS)))),
    ("the filesystem", |facts| {
        with_lock(facts, |lock| lock.reach = Reach::OtherKernelPossible(ForeignKernel::FilesystemUnknown))
    }),
    ("sole access", |facts| with_lock(facts, |lock| lock.sole_access = SoleAccess::No(NotSole::MountUnknown))),
    ("the operator's word", |facts| with_view(facts, |view| view.assume_single_writer = false)),
    ("the sight of other PID namespaces", |facts| {
        with_view(facts, |view| {
            if view.vantage == Vantage::Host {
                view.vantage = Vantage::Namespace
            }
        })
    }),
    ("the certainty that nothing is hidden", |facts| with_view(facts, |view| view.vantage = Vantage::Restricted)),
    ("the kernel's word for the process table", |facts| with_view(facts, |view| view.source = ProcSource::NotProcfs)),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Law 1: taking evidence away never moves a verdict towards removal.
    ///
    /// What is not a loss of evidence, by the design:
    /// - who works in the guarded directory (`in-use-unknown`): a working directory that cannot
    ///   be read changes nothing, so a proof stands although a worker may be overlooked;
    /// - a candidate that is gone: absence is evidence (but see the law on hidden processes);
    /// - recorded start ticks: a record without them is an old release's, and row 5 judges it
    ///   (but see the law on old records);
    /// - that a record was copied here (its change lies before its birth): on a filesystem without
    ///   times of birth a copy cannot be told, and unless somebody copies there (a fact of its own)
    ///   its removal takes nobody's lock;
    /// - a lease's own time where its file is older than it says: a file is not written before
    ///   the time in it, so no loss of a time explains that record.
    ///
    /// And `active` rests on evidence as well: without it, `likely-held` is as far as it may go.
    #[test]
    fn less_evidence_never_moves_towards_removal(facts in any_facts()) {
        let before = facts.judge();
        for (name, lose) in LOSSES {
            for poorer in lose(&facts) {
                let after = poorer.judge();
                prop_assert!(
                    rank(&after) <= rank(&before).max(Rank::LikelyHeld),
                    "without {name}: {before:?} becomes {after:?}"
                );
            }
        }
    }

    /// Law 1 for losses that come together: each is harmless after any others.
    #[test]
    fn any_two_losses_never_move_towards_removal(facts in any_facts(), first in 0..LOSSES.len(), second in 0..LOSSES.len()) {
        let before = facts.judge();
        for poorer in (LOSSES[first].1)(&facts).iter().flat_map(LOSSES[second].1) {
            let after = poorer.judge();
            prop_assert!(
                rank(&after) <= rank(&before).max(Rank::LikelyHeld),
                "without {} and {}: {before:?} becomes {after:?}", LOSSES[first].0, LOSSES[second].0
            );
        }
    }

    /// Law 1 for processes that go out of sight: any of them may be the owner, so that nothing
    /// that rests on processes can be more than `out-of-sight`.
    #[test]
    fn hidden_processes_never_move_towards_removal(facts in any_facts(), hidden in any::<u8>(), all in any::<bool>()) {
        let before = facts.judge();
        let mut poorer = facts.clone();
        let mut index = 0;
        poorer.lock.candidates.retain(|_| {
            index += 1;
            hidden & (1 << index) == 0
        });
        poorer.view.vantage = Vantage::Restricted;
        if all {
            poorer.view.source = ProcSource::Unreadable;
        }
        let after = poorer.judge();
        prop_assert!(rank(&after) <= rank(&before).max(Rank::CannotTell), "{before:?} becomes {after:?}");
        if poorer.lock.record.owner().is_some() {
            prop_assert!(rank(&after) <= Rank::CannotTell, "{after:?}");
        }
    }

    /// A record without ticks never proves more than that nobody has the pid.
    #[test]
    fn an_old_record_never_proves_a_living_pid_recycled(facts in any_facts()) {
        let mut old = facts.clone();
        let Record::Owner(owner) = &mut old.lock.record else { return Ok(()) };
        owner.start_ticks = None;
        (old.lock.coordinator, old.lock.kernel_lock) = (KernelHold::Free, KernelHold::Free);
        let verdict = old.judge();
        if old.lock.candidates.iter().any(|candidate| candidate.life != Life::Dead) {
            prop_assert!(!verdict.proof());
            prop_assert_eq!(verdict.classification, Classification::LegacyUnverifiable);
        }
    }

    /// Law 2: age alone never proves, and classifies nothing.
    #[test]
    fn the_time_of_day_changes_neither_proof_nor_class(facts in any_facts(), now in any::<i64>()) {
        let before = facts.judge();
        let mut later = facts.clone();
        later.view.now = EpochMs(now);
        let after = later.judge();
        prop_assert_eq!(before.proof(), after.proof());
        prop_assert_eq!(before.classification, after.classification);
        prop_assert_eq!(before.row, after.row);
        if facts.lock.record.owner().is_some() {
            prop_assert_eq!(before, after, "an owner's lock does not age");
        }
    }

    /// Law 2 from the other side: a lock backdated as a whole is no nearer to a proof.
    #[test]
    fn an_older_lock_is_not_nearer_to_a_proof(facts in any_facts(), by in -FIVE_CENTURIES_MS..FIVE_CENTURIES_MS) {
        let back = |moment: &mut Option<EpochMs>| {
            *moment = moment.map(|moment| EpochMs(moment.0.saturating_sub(by)));
        };
        let mut older = facts.clone();
        back(&mut older.lock.times.lock_modified);
        back(&mut older.lock.times.record_modified);
        back(&mut older.lock.times.record_born);
        match &mut older.lock.record {
            Record::Owner(owner) => back(&mut owner.created_at),
            Record::Anonymous { created_at } => back(created_at),
            _ => {}
        }
        prop_assert_eq!(facts.judge().proof(), older.judge().proof());
    }

    /// Law 3: an unreadable fact on the path of a proof ends it.
    ///
    /// A life that cannot be told is on the path only with equal ticks: who started at another
    /// time is not the owner, alive or dead.
    #[test]
    fn an_unreadable_fact_ends_a_proof(facts in proven_facts()) {
        let living = |candidate: &Candidate| candidate.life != Life::Dead;
        let recorded = facts.lock.record.owner().and_then(|owner| owner.start_ticks);
        let mut ended: Vec<(&str, Facts)> = Vec::new();
        let mut also = |name, all: Vec<Facts>| ended.extend(all.into_iter().map(|facts| (name, facts)));
        also("ticks", each_candidate(&facts, |c| {
            living(c).then(|| Candidate { start_ticks: vec![], ..c.clone() }).into_iter().collect()
        }));
        also("time namespace", each_candidate(&facts, |c| {
            living(c).then(|| Candidate { time_namespace: TimeNamespace::Unknown, ..c.clone() }).into_iter().collect()
        }));
        also("own view", each_candidate(&facts, |c| {
            let unknown = [NotAsked::Refused, NotAsked::NoAnswer, NotAsked::NotNeeded].map(OwnView::NotAsked);
            unknown.map(|own_view| Candidate { own_view, ..c.clone() }).into_iter().filter(|_| living(c)).collect()
        }));
        also("process", each_candidate(&facts, |c| vec![Candidate::out_of_list(c.pid)]));
        also("life", each_candidate(&facts, |c| {
            let told_by_ticks = recorded.is_none_or(|ticks| c.start_ticks.contains(&ticks));
            told_by_ticks.then(|| Candidate { life: Life::Unknown, ..c.clone() }).into_iter().collect()
        }));
        also("record", with_lock(&facts, |lock| lock.record = Record::Unreadable(Unread::System(Errno::ACCESS))));
        also("filesystem", with_lock(&facts, |lock| lock.reach = Reach::OtherKernelPossible(ForeignKernel::FilesystemUnknown)));
        also("vantage", with_view(&facts, |view| view.vantage = Vantage::Restricted));
        also("table", with_view(&facts, |view| view.source = ProcSource::Unreadable));
        also("procfs", with_view(&facts, |view| view.source = ProcSource::NotProcfs));
        let unknown = KernelHold::Unknown(Untold::NotAllowed);
        also("kernel's lock", with_lock(&facts, |lock| lock.kernel_lock = unknown));
        also("coordinator", with_lock(&facts, |lock| lock.coordinator = unknown));
        for (name, poorer) in ended {
            prop_assert!(!poorer.judge().proof(), "{name} is unreadable, and still {:?}", poorer.judge());
        }
    }

    /// Law 4: every combination of facts ends in one consistent verdict.
    #[test]
    fn every_verdict_is_consistent(facts in any_facts()) {
        let verdict = facts.judge();
        let active = verdict.classification == Classification::Active;
        prop_assert_eq!(active, verdict.standing == Standing::Held);
        let kernels = matches!(facts.lock.record, Record::KernelHeld { .. });
        let held = [Reason::OwnerAlive, Reason::KernelLockHeld, Reason::CoordinatorHeld];
        prop_assert_eq!(active, held.contains(&verdict.reason));
        let (coordinated, locked) = (facts.lock.coordinator.is_held(), facts.lock.kernel_lock.is_held());
        prop_assert!(active || !(coordinated || locked));
        prop_assert!(!kernels || verdict.reason == Reason::KernelLockHeld);
        prop_assert!(kernels || locked || verdict.reason != Reason::KernelLockHeld);
        prop_assert_eq!(verdict.leaning().is_none(), active || verdict.proof());
        prop_assert!((1..=8).contains(&verdict.row));
        prop_assert!(Reason::ALL.contains(&verdict.reason));
        prop_assert_eq!(verdict.leaning() == Some(Leaning::Undetermined), verdict.reason == Reason::NotProcfs);
        let stale = [Classification::StaleDeadPid, Classification::StaleRecycledPid];
        if verdict.proof() {
            prop_assert!(stale.contains(&verdict.classification));
        }
        let living = facts.lock.candidates.iter().any(|candidate| candidate.life != Life::Dead);
        match verdict.classification {
            Classification::StaleDeadPid => prop_assert!(!living && facts.lock.record.owner().is_some()),
            Classification::StaleRecycledPid => prop_assert!(living),
            Classification::Active => prop_assert!(living || kernels || coordinated || locked),
            Classification::LegacyUnverifiable => prop_assert!(!verdict.proof()),
        }
    }

    /// Law 5: a proof needs the sight of everybody who can have written the lock.
    #[test]
    fn only_full_sight_of_the_writers_proves(facts in proven_facts()) {
        let verdict = facts.judge();
        let sole = facts.view.assume_single_writer || facts.lock.sole_access.is_sole();
        let sees_all = match facts.view.vantage {
            Vantage::Host => true,
            Vantage::Namespace => sole,
            Vantage::Restricted => false,
        };
        prop_assert!(sees_all);
        prop_assert!([Reason::NoSuchProcess, Reason::StartTicksDiffer].contains(&verdict.reason));
        let same_clock = |c: &Candidate| c.life == Life::Dead || c.time_namespace == TimeNamespace::Initial;
        prop_assert!(facts.lock.candidates.iter().all(same_clock));
        let true_ticks = |c: &Candidate| c.life == Life::Dead || c.own_view == OwnView::TrueTicks;
        prop_assert!(facts.lock.candidates.iter().all(true_ticks), "who may have recorded another's ticks is no other");
    }

    /// Law 5, over all facts: what never proves.
    #[test]
    fn nothing_proves_over_a_doubt(facts in any_facts()) {
        let doubtful = facts.view.vantage == Vantage::Restricted
            || matches!(facts.view.source, ProcSource::NotProcfs | ProcSource::Unreadable)
            || facts.lock.reach != Reach::ThisKernel
            || !facts.lock.in_use.by.is_empty()
            || facts.lock.kernel_lock != KernelHold::Free
            || facts.lock.coordinator != KernelHold::Free
            || facts.lock.record.owner().is_none();
        prop_assert!(!(doubtful && facts.judge().proof()));
    }

    /// What the kernel says is held is held, whatever else is known or not; and where it does not
    /// answer, nothing else answers for it.
    #[test]
    fn a_kernels_lock_is_never_removable(facts in any_facts(), pid in any::<Option<u32>>()) {
        let mut facts = facts;
        facts.lock.record = Record::KernelHeld { pid };
        prop_assert_eq!(rank(&facts.judge()), Rank::Held);
        facts.lock.coordinator = KernelHold::HELD;
        for record in [Record::KernelUnknown, Record::Missing, facts.lock.record.clone()] {
            facts.lock.record = record;
            prop_assert_eq!(rank(&facts.judge()), Rank::Held);
        }
        (facts.lock.coordinator, facts.lock.kernel_lock) = (KernelHold::Free, KernelHold::Free);
        facts.lock.record = Record::KernelUnknown;
        prop_assert_eq!(rank(&facts.judge()), Rank::LikelyHeld);
        prop_assert_eq!(facts.judge().row, 8);
    }

    /// A lock that names nobody is never proven, at any age, by any family's patience.
    #[test]
    fn who_names_nobody_is_never_proven(facts in any_facts()) {
        let mut facts = facts;
        facts.lock.record = Record::NotRecorded;
        let verdict = facts.judge();
        prop_assert!(!verdict.proof());
        let rank_of = |modified| {
            let mut facts = facts.clone();
            facts.lock.times.lock_modified = modified;
            rank(&facts.judge())
        };
        let now = facts.view.now;
        prop_assert!(rank_of(Some(now)) <= Rank::LikelyHeld);
        prop_assert!(rank_of(None) <= Rank::LikelyHeld);
    }

    /// Law 6: a lock whose twin lives is never proven stale, whatever the other facts; nor is it
    /// ever offered for removal where the process table can be read.
    #[test]
    fn a_living_twin_is_never_proven_stale(facts in any_facts(), at in any::<prop::sample::Index>(), twin in candidate()) {
        let mut facts = facts;
        let created_at = facts.lock.record.created_at();
        facts.lock.record = Record::Owner(Owner { pid: PID, start_ticks: Some(TICKS), created_at });
        let life = if twin.life == Life::Dead { Life::Alive } else { twin.life };
        let twin = Candidate { life, start_ticks: vec![OTHER_TICKS, TICKS], ..twin };
        let at = at.index(facts.lock.candidates.len() + 1);
        facts.lock.candidates.insert(at, twin);
        let verdict = facts.judge();
        prop_assert!(!verdict.proof());
        if facts.view.source != ProcSource::Unreadable {
            prop_assert!(rank(&verdict) <= Rank::LikelyHeld, "{verdict:?}");
        }
    }

    /// The order in which /proc lists processes is no evidence.
    #[test]
    fn the_order_of_candidates_changes_nothing(facts in any_facts()) {
        let mut turned = facts.clone();
        turned.lock.candidates.reverse();
        prop_assert_eq!(turned.judge(), facts.judge());
    }

    /// The design's exception: how many working directories could not be read changes nothing.
    #[test]
    fn unknown_workers_change_nothing(facts in any_facts(), unknown in any::<usize>()) {
        let mut other = facts.clone();
        other.lock.in_use.unknown = unknown;
        prop_assert_eq!(other.judge(), facts.judge());
    }
}

/// The laws say nothing of verdicts that the generator never reaches.
#[test]
fn the_generator_reaches_every_reason_that_facts_can_have() {
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeSet::new();
    for _ in 0..20_000 {
        reached.insert(any_facts().new_tree(&mut runner).unwrap().current().judge().reason);
    }
    // One hostile record stands for all: they differ in the reason only.
    let stand_ins = [Reason::RecordNotObject, Reason::LockSymlink];
    let hostile = |reason: &Reason| !stand_ins.contains(reason) && is_hostile(*reason);
    let missing: Vec<&Reason> =
        Reason::ALL.iter().filter(|reason| !reached.contains(reason) && !hostile(reason)).collect();
    assert!(missing.is_empty(), "never generated: {missing:?}");
}

fn is_hostile(reason: Reason) -> bool {
    use Hostility as H;
    [
        H::NotAnObject,
        H::TooDeep,
        H::DuplicateKeys,
        H::PidZero,
        H::PidNegative,
        H::PidFractional,
        H::PidNotANumber,
        H::PidTooLarge,
        H::StartTicksInvalid,
        H::CreatedAtInvalid,
        H::TooLarge,
        H::RecordSymlink,
        H::RecordNotRegular,
        H::RecordHardLinked,
        H::LockSymlink,
        H::LockNotDirectory,
        H::LockNotFile,
        H::LockNotEmpty,
    ]
    .map(Reason::from)
    .contains(&reason)
}

fn parse(bytes: &[u8]) -> Record {
    FAMILIES[0].parse(bytes)
}

/// A record as OpenClaw writes it: its keys in its order, indented by two, a newline at the end;
/// or in any other order, with other keys between, and not indented.
fn written() -> impl Strategy<Value = (Owner, String)> {
    let owner = (1..=PID_LIMIT, any::<Option<u64>>(), any::<Option<u64>>());
    let more = prop::collection::vec(("[a-z\u{e9}\\\\\"]{1,8}", "[ -~\u{1f600}\n]{0,12}"), 0..3);
    (owner, more, any::<bool>(), any::<u64>()).prop_map(|((pid, ticks, created), more, as_openclaw, order)| {
        // Up to 2^53: Node.js writes no larger integer exactly.
        let (ticks, created) = (ticks.map(|ticks| ticks >> 11), created.map(|ms| ms >> 11));
        let mut fields = vec![("pid".to_owned(), serde_json::json!(pid))];
        fields.extend(ticks.map(|ticks| ("starttime".to_owned(), serde_json::json!(ticks))));
        fields.extend(created.map(|ms| ("createdAtMs".to_owned(), serde_json::json!(ms))));
        if !as_openclaw {
            let known = ["pid", "starttime", "createdAtMs"];
            let mut seen = BTreeSet::new();
            let other = more.into_iter().filter(|(key, _)| !known.contains(&key.as_str()));
            fields.extend(
                other.filter(|(key, _)| seen.insert(key.clone())).map(|(key, text)| (key, serde_json::json!(text))),
            );
            let len = fields.len();
            fields.rotate_left(usize::try_from(order).unwrap_or(0) % len);
        }
        let (open, between, close) = if as_openclaw { ("{\n  ", ",\n  ", "\n}") } else { ("{", ",", "}") };
        let colon = if as_openclaw { ": " } else { ":" };
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{}{colon}{value}", serde_json::json!(key))).collect();
        let created_at = created.map(|ms| EpochMs(i64::try_from(ms).unwrap()));
        let owner = Owner { pid, start_ticks: ticks.map(StartTicks), created_at };
        (owner, format!("{open}{}{close}", fields.join(between)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Law 7: what a release can write is read back as it was meant.
    #[test]
    fn a_valid_record_is_read_back((owner, text) in written(), newline in any::<bool>()) {
        let text = if newline { format!("{text}\n") } else { text };
        prop_assert_eq!(parse(text.as_bytes()), Record::Owner(owner), "{}", text);
    }

    /// Law 7: a write that was cut anywhere never reads as somebody else's record.
    #[test]
    fn a_cut_record_names_nobody((_, text) in written()) {
        for end in 0..text.len() {
            let expected = if end == 0 { Record::Empty } else { Record::Truncated };
            prop_assert_eq!(parse(&text.as_bytes()[..end]), expected, "{} of {}", end, text);
        }
    }

    /// Law 7: a record with one byte changed still ends in one of the parser's answers, and an
    /// owner that comes out of it is one that a kernel can have.
    #[test]
    fn a_damaged_record_is_never_a_panic((_, text) in written(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text.into_bytes();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Record::Owner(owner) = parse(&bytes) {
            prop_assert!((1..=PID_LIMIT).contains(&owner.pid));
        }
    }
}
