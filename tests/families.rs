//! Every family's locks, where each release puts them, through the built binary: found by
//! discovery, by their state dir, by their own path and from far above; nothing else is entered.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::indexing_slicing)]

mod support;

#[path = "families/asked_for.rs"]
mod asked_for;
#[path = "families/borders.rs"]
mod borders;
#[path = "families/found.rs"]
mod found;
#[path = "families/layout.rs"]
mod layout;
#[path = "families/left.rs"]
mod left;
