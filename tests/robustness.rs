//! Whatever bytes stand in a file of /proc or in a record, reading them ends in an answer.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]
#![allow(clippy::indexing_slicing)]

#[path = "robustness/parity.rs"]
mod parity;
#[path = "fuzz/targets.rs"]
mod targets;

use openclaw_doctor::family::FAMILIES;
use openclaw_doctor::process::status::Identity;
use openclaw_doctor::record::MAX_RECORD_BYTES;
use openclaw_doctor::units::StartTicks;
use proptest::prelude::*;
use std::path::Path;

const STATUS: &[u8] = b"Name:\tnode\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t512\nNgid:\t0\nPid:\t512\nPPid:\t1\n\
    TracerPid:\t0\nUid:\t1000\t1001\t1000\t1000\nGid:\t0\t0\t0\t0\nNSpid:\t512\t7\nThreads:\t11\n";
const STAT: &[u8] = b"512 (node) S 1 512 512 0 -1 4194560 100 0 0 0 5 3 0 0 20 0 11 0 483361 1000000 500 \
    18446744073709551615 1 1 0 0 0 0 0 16781312 134217730 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
const MOUNTS: &[u8] = b"36 35 98:0 /mnt\\0401 /mnt/a\\134b rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n\
    25 30 0:24 / /proc rw,relatime shared:14 unbindable - proc proc rw,hidepid=invisible\n";
const RECORD: &[u8] = b"{\n  \"pid\": 7,\n  \"starttime\": 483361,\n  \"createdAtMs\": 1777458804809\n}\n";

/// A well-formed file with pieces cut out, doubled, overwritten and put in.
fn damaged(whole: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        prop::sample::select(vec![
            &b"("[..],
            b")",
            b" ",
            b"\n",
            b"\t",
            b":",
            b"-",
            b"- ",
            b" - ",
            b",",
            b"=",
            b"\\",
            b"\\7",
            b"\\400",
            b"0:",
            b"\xff",
            b"\xc3",
            b"NSpid:",
            b"18446744073709551616",
            b"-1",
            b"{",
            b"}",
            b"\"",
            b"\"pid\":",
            b"1e999",
            b"\\ud800",
            b"\0",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let edit = (any::<prop::sample::Index>(), 0..12_usize, piece);
    prop::collection::vec(edit, 0..5).prop_map(move |edits| {
        let mut bytes = whole.to_vec();
        for (at, cut, piece) in edits {
            let start = at.index(bytes.len() + 1);
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, piece);
        }
        bytes
    })
}

fn bytes(whole: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => damaged(whole), 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_status_file_ends_the_run(bytes in bytes(STATUS)) {
        targets::status(&bytes);
    }

    #[test]
    fn no_stat_file_ends_the_run(bytes in bytes(STAT)) {
        targets::stat(&bytes);
    }

    /// A process may call itself anything; its start time is still read from the right place.
    #[test]
    fn no_name_moves_the_start_time(name in prop::collection::vec(any::<u8>(), 0..16)) {
        let whole = String::from_utf8(STAT.to_vec()).unwrap();
        let (before, after) = whole.split_once("node").unwrap();
        let stat = [before.as_bytes(), &name, after.as_bytes()].concat();
        prop_assert_eq!(Identity::parse(&stat).map(|identity| identity.start_ticks), Some(StartTicks(483_361)));
    }

    #[test]
    fn no_mount_table_ends_the_run(bytes in bytes(MOUNTS)) {
        targets::mountinfo(&bytes);
    }

    /// Nor is one taken that serde_json refuses, or refused that it takes.
    #[test]
    fn no_record_ends_the_run(bytes in bytes(RECORD)) {
        targets::record(&bytes);
    }
}

/// The seeds of the fuzz targets, whole, cut, and with each byte changed.
#[test]
fn no_seed_of_a_fuzz_target_ends_the_run() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let seeded = std::fs::read_dir(fuzz.join("seeds")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut seeded: Vec<_> = seeded.map(|name| name.into_string().unwrap()).collect();
    seeded.sort();
    assert_eq!(seeded, targets::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, target) in targets::ALL {
        let program = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("targets::{name}(")) && manifest.contains(&format!("name = \"{name}\"")));
        for seed in std::fs::read_dir(fuzz.join("seeds").join(name)).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            target(&bytes);
            for index in 0..bytes.len() {
                target(&bytes[..index]);
                let mut changed = bytes.clone();
                for bits in [0x01, 0x10, 0x80] {
                    changed[index] = bytes[index] ^ bits;
                    target(&changed);
                }
            }
        }
    }
}

/// What is read of a record fits the memory of any machine, and every record of a release.
#[test]
fn a_record_is_read_up_to_64_kib() {
    assert_eq!(MAX_RECORD_BYTES, 65_536);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Deep nesting is an answer too, not the end of the stack.
    #[test]
    fn no_depth_of_a_record_ends_the_run(depth in 0..200_000_usize, open in "\\[|\\{\"a\":|\\{\"pid\":", closed in any::<bool>()) {
        let close = if open == "[" { "]" } else { "}" };
        let text = format!("{}1{}", open.repeat(depth), if closed { close.repeat(depth) } else { String::new() });
        for family in FAMILIES {
            prop_assert!(family.parse(text.as_bytes()).owner().is_none());
        }
    }
}
