//! Numbers that are made when somebody asks for them.

use std::sync::OnceLock;

/// Numbers that follow from others beside them, which are what equality is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Derived(OnceLock<Vec<f64>>);

impl Derived {
    pub(super) fn get_or_make(&self, make: impl FnOnce() -> Vec<f64>) -> &[f64] {
        self.0.get_or_init(make)
    }
}

impl PartialEq for Derived {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
