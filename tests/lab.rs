//! The lab: `scan` on real PID namespaces, mounts and processes, through the built binary.
//!
//! A "container" here is what a container is to the kernel: a PID and a mount namespace, its
//! own procfs, an overlay as root, a volume. What can't be had on a machine is skipped aloud;
//! with `OPENCLAW_DOCTOR_LAB=required` it fails instead. docs/evidence-lab.md lists what each
//! test measures.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::indexing_slicing)]

mod support;

mod lab {
    mod alive;
    mod container;
    mod database;
    mod dead;
    mod discovery;
    mod elsewhere;
    mod filesystems;
    mod halted;
    mod hidden;
    mod in_use;
    mod kernel;
    mod legacy;
    mod machine;
    mod neighbours;
    mod ordinary_user;
    mod own_ticks;
    mod recycled;
    mod threads;
    mod time_namespace;
    mod view;
}
