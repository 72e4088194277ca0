//! The answer as others read it: versioned JSON types, apart from our own.

pub mod bytes;
pub mod json;
pub mod repair_v1;
pub mod v1;
