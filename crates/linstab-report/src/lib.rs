#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod conclusion;
pub mod drawing;
mod error;
pub mod map_data;
mod page;
pub mod section;
pub mod text;

pub use error::{ReportError, Result};
pub use page::{MAX_BYTES, Missing, Overview, PATH, Record, page};
pub use section::Section;
