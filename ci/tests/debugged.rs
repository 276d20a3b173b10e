//! Two threads of this crate that wait, and a third that aborts: what ci/debuggers.sh looks at.

use rawthread::{Builder, park, spawn, yield_now};

#[inline(never)]
fn waits_for_the_end() {
    loop {
        park();
    }
}

#[inline(never)]
fn works_a_little() -> u64 {
    (0..3_000_000u64).fold(1, |sum, n| std::hint::black_box(sum.wrapping_mul(n | 1)))
}

#[inline(never)]
fn comes_to_a_bad_end() {
    std::process::abort();
}

fn main() {
    let worked = spawn(works_a_little).join().unwrap();
    println!("worked: {worked}");
    for _ in 0..100 {
        spawn(|| ()).join().unwrap();
    }
    if std::env::args().nth(1).as_deref() != Some("abort") {
        return;
    }
    for name in ["patient", "quiet"] {
        Builder::new()
            .name(name.into())
            .spawn(waits_for_the_end)
            .unwrap();
    }
    let bad = Builder::new().name("bad".into()).spawn(comes_to_a_bad_end);
    bad.unwrap().join().unwrap();
    yield_now();
}
