//! `openclaw-doctor scan`.

use super::args::{Common, ScanArgs};
use super::key::key;
use super::progress::ProgressLine;
use super::style::Look;
use super::table;
use super::{Failure, told};
use openclaw_doctor::redact::redact;
use openclaw_doctor::report::json::write_pretty;
use openclaw_doctor::report::v1::{ScanReport, Summary};
use openclaw_doctor::scan::{Request, Scan, scan};
use std::io::{BufWriter, Write};

/// What a pipe takes at once.
const OUT_BYTES: usize = 64 * 1024;

pub(crate) fn run(args: &ScanArgs, common: &Common) -> Result<u8, Failure> {
    let request = common.request(args.paths.clone());
    let mut scan = with_progress(&request, common);
    if args.redact {
        redact(&mut scan, &key(args.redact_key.as_deref())?);
    }
    let mut out = BufWriter::with_capacity(OUT_BYTES, std::io::stdout().lock());
    let written = match (common.quiet, args.json) {
        (true, _) => Ok(()),
        (false, true) => write_pretty(&mut out, &ScanReport::new(&scan)),
        (false, false) => table::write(&mut out, &scan, Look::new(common.color), common.verbose),
    };
    told(written.and_then(|()| out.flush()), Summary::of(&scan).exit_code())
}

pub(crate) fn with_progress(request: &Request, common: &Common) -> Scan {
    let mut line = ProgressLine::new(common.quiet);
    scan(request, &mut |progress| line.show(progress))
}
