//! Chunks: the column format of readings and their rollups.

pub(crate) mod bytes;
mod column;
mod frame;
mod histograms;
mod numbers;
mod raw;
mod rolled;

pub(super) use bytes::{Bytes, put_count, put_str, put_varint, unzigzag, zigzag};
pub use frame::Outline;
pub(super) use frame::{put_key, take_key};
pub(super) use numbers::{scaled, unscaled};
pub use raw::Block;
pub use rolled::{Buckets, encode_buckets};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
