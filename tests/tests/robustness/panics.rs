//! Panics that are counted and not printed.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    static WHERE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What something gives, or where and with which words it panics.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let printed = take_hook();
        set_hook(Box::new(move |panic| {
            if IS_CAUGHT.get() {
                let text = panic.to_string().lines().collect::<Vec<_>>().join(" ");
                WHERE.with_borrow_mut(|place| *place = text);
            } else {
                printed(panic);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    IS_CAUGHT.set(false);
    outcome.map_err(|_| WHERE.take())
}
