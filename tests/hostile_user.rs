//! A user who owns the stage root against a doctor that runs as root: nothing outside the stage
//! root is deleted, made, given away or read.
//!
//! The user is a real second uid. What he could not do himself (a hard link to another's file
//! where the kernel protects them, a bind mount) is done for him.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::disallowed_methods)]

#[path = "hostile_user/files.rs"]
mod files;
mod support;
#[path = "support/world.rs"]
mod world;
use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags, mkdirat, mknodat, openat, renameat_with};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Answer, DEPS, HANG, MIRROR, dead_pid, doctor, record};
use world::{Mounted, ORDINARY, age, give, is_root, living_as, open_dir, plant, skip};

/// The text that must not be shown to anybody.
const SECRET: &str = "xyzzy-the-secret-of-root";
const VERSION: &str = "openclaw-2026.4.29-f53b52ad6d21";

/// A directory of root's beside the stage root of the hostile user, on the same filesystem.
struct Field {
    dir: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Field {
    /// None, with a word about it, where there are no other users.
    fn new() -> Option<Self> {
        if !is_root() {
            skip("no other users without root");
            return None;
        }
        let dir = open_dir();
        let (outside, stage) = (dir.path().join("outside"), dir.path().join("stage"));
        std::fs::create_dir_all(outside.join("empty")).unwrap();
        std::fs::write(outside.join("secret"), SECRET).unwrap();
        std::fs::set_permissions(outside.join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
        // What it would take if it were led there: a dead owner's lock, and locks without a record.
        plant(&outside, "", DEPS, Some(dead(SECRET).as_bytes()));
        age(&plant(&outside, "", MIRROR, None));
        std::fs::write(outside.join(files::LOCK), files::dead(SECRET)).unwrap();
        std::fs::create_dir(outside.join("secrets")).unwrap();
        age(&plant(&outside, "secrets", DEPS, Some(SECRET.as_bytes())));
        std::fs::create_dir(&stage).unwrap();
        give(&stage, ORDINARY);
        let mut field = Self { dir, before: BTreeMap::new() };
        field.before = field.snapshot();
        Some(field)
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn stage(&self) -> PathBuf {
        self.dir.path().join("stage")
    }

    fn version(&self) -> PathBuf {
        let version = self.stage().join(VERSION);
        if !version.exists() {
            std::fs::create_dir(&version).unwrap();
        }
        version
    }

    fn receipt(&self) -> PathBuf {
        self.dir.path().join("receipt")
    }

    /// Everything about every file outside, but what reading it changes.
    fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let entries = walkdir::WalkDir::new(self.outside()).into_iter().map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let content = if meta.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
            let facts = format!(
                "{:o} {}:{} inode {} modified {}.{} {content:?}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.ino(),
                meta.mtime(),
                meta.mtime_nsec()
            );
            (entry.path().to_owned(), facts)
        });
        entries.collect()
    }

    fn silent(answer: &Answer, what: &str) {
        let bytes = [answer.0.stdout.as_slice(), &answer.0.stderr].concat();
        let (text, hex) = (String::from_utf8_lossy(&bytes), hex(SECRET.as_bytes()));
        assert!(!text.contains(SECRET) && !text.contains(&hex), "{what} tells the secret:\n{text}");
    }

    /// Runs everything that looks or removes, and compares the outside with what it was.
    fn attack(&self, locks: &[PathBuf], what: &str) -> Vec<Answer> {
        let (stage, receipt) = (self.stage(), self.receipt());
        let (stage, receipt) = (stage.as_os_str(), receipt.as_os_str());
        let json: &OsStr = "--json".as_ref();
        let mut runs: Vec<Vec<&OsStr>> = vec![
            vec!["scan".as_ref(), json, stage],
            vec!["scan".as_ref(), stage],
            vec!["repair".as_ref(), "--yes".as_ref(), stage, "--receipt".as_ref(), receipt],
            vec!["repair".as_ref(), json, "--yes".as_ref(), stage, "--receipt".as_ref(), receipt],
        ];
        for lock in locks {
            let lock = lock.as_os_str();
            runs.push(vec!["explain".as_ref(), lock]);
            let named = ["repair".as_ref(), "--yes".as_ref(), "--lock".as_ref(), lock, "--receipt".as_ref(), receipt];
            runs.push([&named[..], &[json, stage]].concat());
            runs.push(named.to_vec());
            // A single lock as PATH is a scope of its own.
            runs.push(vec!["repair".as_ref(), json, "--yes".as_ref(), lock]);
        }
        let answers: Vec<Answer> = runs.iter().map(|args| self.run(args, what)).collect();
        let told = std::fs::read(self.receipt()).unwrap_or_default();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!told.contains(SECRET) && !told.contains(&hex(SECRET.as_bytes())), "{what}: the receipt: {told}");
        answers
    }

    fn run(&self, args: &[&OsStr], what: &str) -> Answer {
        let answer = doctor(args);
        Self::silent(&answer, what);
        assert_eq!(self.snapshot(), self.before, "{what}: {args:?}\n{}{}", answer.out(), answer.err());
        answer
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A dead owner's record with a word in it.
fn dead(word: &str) -> String {
    record(dead_pid(), Some(7)).replacen('{', &format!("{{\"host\":\"{word}\","), 1)
}

#[test]
fn a_link_in_place_of_a_lock_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    let version = field.version();
    for (name, target) in [(DEPS, field.outside().join(DEPS)), (MIRROR, field.outside().join("empty"))] {
        symlink(target, version.join(name)).unwrap();
    }
    let relative = field.stage().join("openclaw-2026.4.29-relative0000");
    std::fs::create_dir(&relative).unwrap();
    symlink(Path::new("../../outside").join(DEPS), relative.join(DEPS)).unwrap();
    give(&field.stage(), ORDINARY);
    field.attack(&[version.join(DEPS), version.join(MIRROR), relative.join(DEPS)], "a linked lock");
    for link in [version.join(DEPS), version.join(MIRROR), relative.join(DEPS)] {
        assert!(link.is_symlink(), "{} was removed", link.display());
    }
}

#[test]
fn a_link_in_place_of_a_version_directory_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    let (absolute, relative) = (field.stage().join(VERSION), field.stage().join("openclaw-2026.4.29-relative0000"));
    symlink(field.outside(), &absolute).unwrap();
    symlink("../outside", &relative).unwrap();
    symlink(field.outside().join("secrets"), field.stage().join("openclaw-2026.4.29-secrets00000")).unwrap();
    give(&field.stage(), ORDINARY);
    let locks = [absolute.join(DEPS), absolute.join(MIRROR), relative.join(DEPS)];
    let more = [field.stage().join("openclaw-2026.4.29-secrets00000").join(DEPS)];
    let answers = field.attack(&[&locks[..], &more[..]].concat(), "a linked version directory");
    let named = answers.last().unwrap().json();
    assert_eq!((named["exit_code"].as_i64(), named["locks"].as_array().unwrap().len()), (Some(3), 0));
    assert!(named["problems"][0]["next_step"].as_str().unwrap().contains("symbolic link"), "{named}");
}

#[test]
fn a_record_that_is_another_file_is_not_read() {
    let Some(field) = Field::new() else { return };
    let secret = field.outside().join("secret");
    let version = field.version();
    let linked = plant(&version, "", DEPS, None);
    symlink(&secret, linked.join("owner.json")).unwrap();
    let hard = plant(&version, "", MIRROR, None);
    std::fs::hard_link(&secret, hard.join("owner.json")).unwrap();
    // A hard link to a whole record of another's: its owner is dead, and it is not his lock.
    let stale = plant(&field.stage(), "openclaw-2026.4.29-hardlink0000", DEPS, None);
    std::fs::hard_link(field.outside().join(DEPS).join("owner.json"), stale.join("owner.json")).unwrap();
    // The links are his; giving the tree away would give root's files to him.
    for path in [&version, &linked, &hard, stale.parent().unwrap(), &stale] {
        std::os::unix::fs::lchown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    let answers = field.attack(&[], "a linked record");
    for lock in [&linked, &hard, &stale] {
        assert_eq!(answers[0].lock_at(lock)["leaning"], "likely-held", "{}", answers[0].out());
        assert_eq!(answers[3].lock_at(lock)["outcome"], "held-back");
    }
    // By name the names go, and the files stay.
    field.attack(&[linked.clone(), hard.clone(), stale.clone()], "a linked record, by name");
    assert!(!linked.exists() && !hard.exists() && !stale.exists());
}

#[test]
fn a_record_that_is_no_file_neither_blocks_nor_is_followed() {
    let Some(field) = Field::new() else { return };
    let version = field.version();
    let fifo = plant(&version, "", DEPS, None);
    mknodat(CWD, fifo.join("owner.json"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    let directory = plant(&version, "", MIRROR, None);
    std::fs::create_dir_all(directory.join("owner.json/inner")).unwrap();
    let lock_fifo = field.stage().join("openclaw-2026.4.29-fifo00000000");
    std::fs::create_dir(&lock_fifo).unwrap();
    mknodat(CWD, lock_fifo.join(DEPS), FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
    give(&field.stage(), ORDINARY);
    let began = Instant::now();
    field.attack(&[fifo.clone(), directory.clone(), lock_fifo.join(DEPS)], "a FIFO");
    assert!(began.elapsed() < HANG, "it waited for a FIFO");
    assert!(!fifo.exists(), "named by its path, a lock with a FIFO for a record goes");
    assert!(directory.join("owner.json/inner").is_dir());
    assert!(lock_fifo.join(DEPS).symlink_metadata().is_ok());
}

#[test]
fn a_mount_from_outside_is_not_emptied_and_not_read() {
    let Some(field) = Field::new() else { return };
    let version = field.version();
    let (on_lock, on_record) = (plant(&version, "", DEPS, None), plant(&version, "", MIRROR, Some(b"{}")));
    let parts = field.stage().join("openclaw-2026.4.29-parts0000000");
    plant(&parts, "", DEPS, Some(b"{}"));
    give(&field.stage(), ORDINARY);
    let _mounts = [
        Mounted::bind(&field.outside().join(DEPS), &on_lock),
        Mounted::bind(&field.outside().join("secrets").join(DEPS).join("owner.json"), &on_record.join("owner.json")),
        Mounted::bind(&field.outside().join("empty"), &parts.join(DEPS)),
    ];
    field.attack(&[on_lock.clone(), on_record.clone(), parts.join(DEPS)], "a bind mount");
    assert!(on_lock.exists() && on_record.exists() && parts.join(DEPS).exists());
}

/// A program of the hostile user's: this test file run again under his uid.
struct Attacker(Child);

impl Attacker {
    /// Exchanges two names for ever.
    fn exchanging(one: &Path, other: &Path) -> Self {
        let id = ORDINARY.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
        // A shell and `mv` would swap some hundred times a second; renameat2 does it a million times.
        let helper = one.parent().unwrap().parent().unwrap().join("attacker");
        let own = std::env::current_exe().unwrap();
        if !helper.exists() && std::fs::hard_link(&own, &helper).is_err() {
            std::fs::copy(&own, &helper).unwrap();
        }
        command.arg(&helper).args(["--exact", "the_attackers_own_program", "--ignored", "--nocapture"]);
        command.env("EXCHANGE_ONE", one).env("EXCHANGE_OTHER", other);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn assert_at_work(&mut self, one: &Path) {
        assert!(self.0.try_wait().unwrap().is_none(), "the attacker has ended");
        let inode = || one.symlink_metadata().map(|meta| meta.ino()).ok();
        let (began, first) = (Instant::now(), inode());
        while inode() == first {
            assert!(began.elapsed() < HANG, "the attacker swaps nothing");
        }
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test: what [`Attacker`] runs.
#[test]
#[ignore = "the program of the attacker, run by other tests"]
fn the_attackers_own_program() {
    let (Some(one), Some(other)) = (std::env::var_os("EXCHANGE_ONE"), std::env::var_os("EXCHANGE_OTHER")) else {
        return;
    };
    assert!(!is_root());
    for round in 0_u32.. {
        // ENOENT: the doctor has taken one of them; the test puts it back.
        let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
        // Bursts of every length: between two of them the doctor comes as far as to take it.
        if round.count_ones() >= 12 || round.trailing_zeros() >= 9 {
            std::thread::sleep(Duration::from_micros(u64::from(round % 1_500)));
        }
    }
}

/// Runs the doctor again and again while two names are exchanged; `restore` puts back what it
/// took and says whether it had to.
fn under_exchange(field: &Field, one: &Path, other: &Path, restore: &dyn Fn() -> bool, what: &str) {
    let lock = field.stage().join(VERSION).join(DEPS);
    under_exchange_at(field, &lock, one, other, restore, what);
}

fn under_exchange_at(field: &Field, lock: &Path, one: &Path, other: &Path, restore: &dyn Fn() -> bool, what: &str) {
    assert!(restore());
    let mut attacker = Attacker::exchanging(one, other);
    attacker.assert_at_work(one);
    let (stage, lock, receipt) = (field.stage(), lock.as_os_str(), field.receipt());
    let runs: [&[&OsStr]; 3] = [
        &["repair".as_ref(), "--yes".as_ref(), "--json".as_ref(), stage.as_os_str()],
        &["repair".as_ref(), "--yes".as_ref(), "--lock".as_ref(), lock, "--receipt".as_ref(), receipt.as_os_str()],
        &["repair".as_ref(), "--yes".as_ref(), lock],
    ];
    let (began, mut taken) = (Instant::now(), 0);
    for round in 0..400 {
        // Some runs must have come as far as to take it, or nothing was tried.
        if round >= 25 && taken > 0 {
            break;
        }
        for args in runs {
            field.run(args, what);
            taken += usize::from(restore());
        }
    }
    assert!(attacker.0.try_wait().unwrap().is_none(), "the attacker has ended");
    let told = std::fs::read(field.receipt()).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&told).contains(SECRET));
    assert!(taken > 0, "{what}: in {:?} it never came near the lock", began.elapsed());
}

#[test]
fn a_parent_swapped_for_a_link_while_it_runs_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    let (version, link) = (field.version(), field.stage().join("link"));
    let inside = held(&version);
    symlink(field.outside(), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(ORDINARY), Some(ORDINARY)).unwrap();
    give(&version, ORDINARY);
    under_exchange(&field, &version, &link, &|| put_back(&inside, &[DEPS]), "a swapped version directory");
}

#[test]
fn a_lock_swapped_for_a_link_while_it_runs_leads_nowhere() {
    let Some(field) = Field::new() else { return };
    let version = field.version();
    let inside = held(&version);
    symlink(field.outside().join(DEPS), version.join("link")).unwrap();
    give(&version, ORDINARY);
    let (lock, link) = (version.join(DEPS), version.join("link"));
    under_exchange(&field, &lock, &link, &|| put_back(&inside, &[DEPS, "link"]), "a swapped lock");
}

const HELD: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn held(directory: &Path) -> OwnedFd {
    openat(CWD, directory, HELD, Mode::empty()).unwrap()
}

/// Makes the lock again if none of the names is a lock, through descriptors: never through a
/// link. Says whether it had to.
fn put_back(version: &OwnedFd, names: &[&str]) -> bool {
    let began = Instant::now();
    let mut made = false;
    while began.elapsed() < HANG {
        for name in names {
            let is_new = mkdirat(version, *name, Mode::from_raw_mode(0o755)).is_ok();
            made |= is_new;
            let Ok(lock) = openat(version, *name, HELD, Mode::empty()) else { continue };
            let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&lock, "owner.json", create, Mode::from_raw_mode(0o644)) {
                Ok(file) => {
                    rustix::io::write(&file, dead("nobody").as_bytes()).unwrap();
                    return true;
                }
                Err(_) => return made,
            }
        }
    }
    panic!("the lock cannot be put back");
}

/// A look-alike and an odd name do not let the outside be read either.
#[test]
fn a_look_alike_that_leads_out_is_not_reported() {
    let Some(field) = Field::new() else { return };
    let alike = field.stage().join("x.lock");
    symlink(field.outside().join("secrets").join(DEPS), &alike).unwrap();
    let odd = field.stage().join(OsStr::from_bytes(b"openclaw-\xff\x1b[2J"));
    std::fs::create_dir(&odd).unwrap();
    symlink(field.outside().join(DEPS), odd.join(DEPS)).unwrap();
    give(&field.stage(), ORDINARY);
    let answers = field.attack(&[odd.join(DEPS)], "a look-alike");
    assert_eq!(answers[0].json()["look_alikes"].as_array().unwrap().len(), 0);
    assert!(answers.iter().all(|answer| !answer.0.stdout.contains(&0x1b)), "an escape reached the terminal");
}

/// A lock that a living process of root's holds is not removed because a user says so.
#[test]
fn a_user_cannot_name_a_process_of_another_to_lose_his_lock() {
    let Some(field) = Field::new() else { return };
    let node = living_as("node");
    let lock = plant(&field.version(), "", DEPS, Some(record(node.pid(), Some(node.ticks())).as_bytes()));
    give(&field.stage(), ORDINARY);
    field.attack(std::slice::from_ref(&lock), "an active lock");
    assert!(lock.join("owner.json").exists());
}
