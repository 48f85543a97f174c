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
pub use page::{AnalysisPage, AnalysisPart, MAX_BYTES, Missing, Overview, PATH, Record, analysis_page, page};
pub use section::Section;
