//! The default panic message, with the name of the rawthread that panics.
//!
//! std's default hook knows only names that std gave, and std offers no way to set one. So before
//! the first thread with a name is made, std's default hook is wrapped by one that prints the same
//! message with our name for our threads, and leaves every other thread to std. A hook that the
//! program set is left alone, before and after: it learns the name from [`crate::current`].

use core::fmt::Write as _;
use std::backtrace::Backtrace;
use std::boxed::Box;
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::string::{String, ToString};
use std::sync::atomic::{AtomicBool, Ordering};

use super::current;

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

/// Wraps std's default hook, once. Returns at once where another thread does so now: in a forked
/// child that thread may not exist.
pub(super) fn install() {
    /// Relaxed: orders nothing but itself.
    static BEGUN: AtomicBool = AtomicBool::new(false);
    // While this thread panics, std does not let it touch the hook; the next spawn will.
    if std::thread::panicking() {
        return;
    }
    if BEGUN.load(Ordering::Relaxed) || BEGUN.swap(true, Ordering::Relaxed) {
        return;
    }
    let found = panic::take_hook();
    // Now std's own is in force, and is what this takes.
    let default = panic::take_hook();
    if is_same(&found, &default) {
        panic::set_hook(Box::new(move |info| report(info, &default)));
    } else {
        panic::set_hook(found);
    }
}

/// Whether both are std's default hook: `take_hook` makes that box in one place of std, from a
/// function item of no size, so its vtable and its dangling address are always the same; a box of
/// the program's has another vtable.
fn is_same(found: &Hook, default: &Hook) -> bool {
    core::ptr::eq(&raw const **found, &raw const **default)
}

fn report(info: &PanicHookInfo<'_>, default: &Hook) {
    let thread = current::current();
    let name = match thread.name() {
        Some(name) if !thread.record().slot().is_null() => name,
        _ => return default(info),
    };
    let payload = info.payload();
    let message = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "Box<dyn Any>",
    };
    let tid = thread.record().tid();
    let place = info
        .location()
        .map(|place| std::format!("{place}"))
        .unwrap_or_default();
    let trace = backtrace();
    // Not eprintln: where standard error is full or closed, a panic in a hook ends the process.
    let _ = write!(
        std::io::stderr(),
        "\nthread '{name}' ({tid}) panicked at {place}:\n{message}\n{trace}"
    );
}

/// What std prints behind a panic message, as `RUST_BACKTRACE` asks for: nothing but, the first time,
/// how to have one; the frames of the program; or all frames. (`Backtrace::capture` is for errors:
/// it obeys `RUST_LIB_BACKTRACE`.)
fn backtrace() -> String {
    static NOTED: AtomicBool = AtomicBool::new(false);
    let style = std::env::var_os("RUST_BACKTRACE").filter(|style| style != "0");
    match style {
        None if NOTED.swap(true, Ordering::Relaxed) => String::new(),
        None => {
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n".into()
        }
        Some(style) if style == "full" => {
            std::format!("stack backtrace:\n{:#}", Backtrace::force_capture())
        }
        Some(_) => std::format!(
            "stack backtrace:\n{}note: Some details are omitted, run with `RUST_BACKTRACE=full` for \
             a verbose backtrace.\n",
            short(&Backtrace::force_capture().to_string())
        ),
    }
}

/// The frames of a backtrace that std shows: those between its markers, numbered anew; all if there
/// are none.
fn short(backtrace: &str) -> String {
    let mut shown = String::new();
    let (mut count, mut show, mut marked) = (0, false, false);
    for line in backtrace.lines() {
        let frame = line.trim_start().split_once(": ");
        let frame = frame.filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        match frame {
            Some((_, name)) if name.contains("__rust_end_short_backtrace") => {
                (show, marked) = (true, true);
            }
            Some((_, name)) if name.contains("__rust_begin_short_backtrace") => show = false,
            Some((_, name)) if show => {
                let _ = writeln!(shown, "{count:4}: {name}");
                count += 1;
                continue;
            }
            _ => {}
        }
        // Where a frame lies in the source.
        if show && frame.is_none() {
            let _ = writeln!(shown, "{line}");
        }
    }
    if marked {
        shown
    } else {
        std::format!("{backtrace}\n")
    }
}
