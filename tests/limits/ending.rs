//! As many threads as the machine can have, all of which end at once.

use std::fs;

use rawthread::Builder;

use crate::common;
use crate::util;

/// A sysctl that is raised, and put back by the process that waits for the test.
struct Raised(&'static str, String);

impl Raised {
    fn to(path: &'static str, value: usize) -> Result<Self, std::io::Error> {
        let old = fs::read_to_string(path)?;
        if old.trim().parse::<usize>().is_ok_and(|old| old < value) {
            fs::write(path, value.to_string())?;
        }
        Ok(Self(path, old))
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let _ = fs::write(self.0, &self.1);
    }
}

/// With a count of 16 bits, 65,536 threads at their end looked like a fork, for which all waited.
#[test]
fn a_hundred_thousand_threads_end_at_once() {
    const COUNT: usize = 100_000;
    const TEST: &str = "ending::a_hundred_thousand_threads_end_at_once";
    if common::is_child(TEST) {
        // Ends by SIGALRM where it hangs.
        common::watchdog(400);
        let start = std::sync::Arc::new(rawthread::sync::Semaphore::new(0));
        let mut threads = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let start = start.clone();
            let builder = Builder::new().stack_size(64 * 1024);
            match builder.try_spawn(move || start.acquire().forget()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    println!("SKIP: {} of {COUNT} threads: {error}", threads.len());
                    break;
                }
            }
        }
        start.release(threads.len() as u32);
        for thread in threads {
            thread.join().unwrap();
        }
        return;
    }
    let _alone = util::MACHINE.lock();
    let (ids, tasks) = (
        Raised::to("/proc/sys/kernel/pid_max", 4_194_304),
        Raised::to("/proc/sys/kernel/threads-max", COUNT + 10_000),
    );
    if let Some(error) = [ids.as_ref().err(), tasks.as_ref().err()]
        .into_iter()
        .flatten()
        .next()
    {
        skip!("the machine's limits on tasks cannot be raised: {error}");
    }
    common::assert_output(TEST, &common::rerun_self(TEST).output().unwrap());
}
