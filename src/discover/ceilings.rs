//! What a look through the roots may cost, and what is told of the rest (docs/limits.md).

use crate::problem::{Cause, Kept, Problem};
use std::collections::HashMap;
use std::mem::Discriminant;
use std::path::PathBuf;

/// Directory entries of one root, and twice as many of all: then nothing more is listed.
pub(super) const NAMES: u64 = 1_000_000;
/// Locks that are kept.
pub(super) const LOCKS: usize = 40_000;
/// Idle files of kernel locks that are kept, and look-alikes.
pub(super) const OTHERS: usize = 10_000;
/// Problems of one kind that are told one by one.
const ALIKE: usize = 50;

/// What problems are alike: their cause, and the call and error of a failed one.
type Kind = (Discriminant<Cause>, Option<(crate::problem::Act, i32)>);

/// The problems, of each kind a few and then their number.
#[derive(Debug, Default)]
pub(super) struct Problems {
    told: Vec<Problem>,
    /// How many of each, and the first that was not told.
    kinds: HashMap<Kind, (usize, Option<Problem>)>,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        let call = match &problem.cause {
            Cause::System { act, errno } => Some((*act, errno.raw_os_error())),
            _ => None,
        };
        let (count, first) = self.kinds.entry((std::mem::discriminant(&problem.cause), call)).or_default();
        *count += 1;
        if *count <= ALIKE {
            self.told.push(problem);
        } else {
            first.get_or_insert(problem);
        }
    }

    /// What was told, and a line for each kind of which there was more.
    pub(super) fn into_told(self) -> Vec<Problem> {
        let more = self.kinds.into_values().filter_map(|(count, first)| {
            let Problem { path, cause } = first?;
            Some(Problem { path, cause: Cause::More { like: Box::new(cause), count: count.saturating_sub(ALIKE) } })
        });
        let mut more: Vec<Problem> = more.collect();
        more.sort_by(|one, other| one.path.cmp(&other.path));
        self.told.into_iter().chain(more).collect()
    }
}

/// How many finds were kept of each sort, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Finds {
    dropped: HashMap<Kept, (u64, PathBuf)>,
}

impl Finds {
    /// Whether one more is kept where there are as many.
    pub(super) fn keeps(&mut self, sort: Kept, have: usize, path: impl FnOnce() -> PathBuf) -> bool {
        let most = if sort == Kept::Locks { LOCKS } else { OTHERS };
        if have >= most {
            self.dropped.entry(sort).or_insert_with(|| (0, path())).0 += 1;
        }
        have < most
    }

    pub(super) fn problems(self) -> impl Iterator<Item = Problem> {
        let told = |(sort, (count, path))| Problem { path, cause: Cause::TooManyFinds { sort, count } };
        self.dropped.into_iter().map(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_thousand_problems_of_one_kind_hide_none_of_another() {
        let mut problems = Problems::default();
        let problem = |path: String, errno| {
            let act = crate::problem::Act::ListDirectory;
            Problem { path: path.into(), cause: Cause::System { act, errno } }
        };
        for number in 0..1_000 {
            problems.push(problem(format!("/a/{number:04}"), Errno::ACCESS));
        }
        problems.push(problem("/b".to_owned(), Errno::IO));
        let told = problems.into_told();
        assert_eq!(told.len(), ALIKE + 2);
        assert!(told.iter().any(|problem| problem.path.ends_with("b")));
        let Cause::More { count, .. } = &told[ALIKE + 1].cause else { panic!("{told:?}") };
        assert_eq!((*count, told[ALIKE + 1].path.clone()), (1_000 - ALIKE, format!("/a/{ALIKE:04}").into()));
    }
}
