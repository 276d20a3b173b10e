//! A rayon pool whose threads this crate makes.
//!
//! `cargo run --release --example rayon`

use rayon::prelude::*;

/// The helper: give it to `ThreadPoolBuilder::spawn_handler`.
fn spawn(thread: rayon::ThreadBuilder) -> std::io::Result<()> {
    let builder = rawthread::Builder::new().name(format!("rayon {}", thread.index()));
    builder.spawn(|| thread.run())?;
    Ok(())
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .spawn_handler(spawn)
        .build()
        .expect("four threads");
    let sum: u64 = pool.install(|| (1..=1_000_000u64).into_par_iter().map(|n| n * n).sum());
    println!("the sum of the first million squares is {sum}");
    let names = pool.broadcast(|_| rawthread::current().name().map(String::from));
    println!("computed by {names:?}");
}
