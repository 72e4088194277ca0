//! The processes that carry a recorded pid: a list that many locks may share.

use crate::evidence::Candidate;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Candidates of one lock. Whoever changes a list that others share gets one of its own: 4,000
/// locks with one pid beside 400 namespaces would else hold 1,600,000 of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates(Arc<Vec<Candidate>>);

impl Deref for Candidates {
    type Target = Vec<Candidate>;

    fn deref(&self) -> &Vec<Candidate> {
        &self.0
    }
}

impl DerefMut for Candidates {
    fn deref_mut(&mut self) -> &mut Vec<Candidate> {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<Candidate>> for Candidates {
    fn from(list: Vec<Candidate>) -> Self {
        Self(Arc::new(list))
    }
}

impl<'a> IntoIterator for &'a Candidates {
    type Item = &'a Candidate;
    type IntoIter = std::slice::Iter<'a, Candidate>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
