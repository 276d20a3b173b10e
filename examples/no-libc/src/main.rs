//! Hello from four threads, in a static program without libc.
#![no_std]
#![no_main]

use rawthread::start;

rawthread::entry!(main);

fn main() -> i32 {
    let greet = |line: &'static str| {
        rawthread::Builder::new().spawn(move || start::write(1, line.as_bytes()).is_ok())
    };
    let lines = [
        "hello from 1\n",
        "hello from 2\n",
        "hello from 3\n",
        "hello from 4\n",
    ];
    let threads = lines.map(greet);
    let failed = |thread| !matches!(thread, Ok(true));
    let ends = threads.map(|thread| match thread {
        Ok(thread) => thread.join().map_err(|_| ()),
        Err(_) => Err(()),
    });
    i32::from(ends.into_iter().any(failed))
}

/// Where a message matters more than some kilobytes, use the feature `panic-thread`.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    start::exit(101)
}
