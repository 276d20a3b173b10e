//! Storms of processes: forks with threads made in the child, exit and exec from anywhere.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::common::{forked, poll_until};
use crate::spawns::{Counts, Random, mixed, one_of_any_kind};
use crate::watchdog::storm;

/// Forks on any thread, amid spawns; the child makes threads of every kind and exits.
#[test]
fn children_of_forks_make_threads() {
    static COUNTS: Counts = Counts::new();
    static CHILDREN: AtomicU64 = AtomicU64::new(0);
    if let Some(until) = storm("process::children_of_forks_make_threads", |_| ()) {
        let forkers: Vec<_> = (0..2)
            .map(|seed| {
                rawthread::spawn(move || {
                    let mut random = Random(seed);
                    while Instant::now() < until {
                        // The counts are those of the parent, and go on.
                        static OWN: Counts = Counts::new();
                        let (made, ran) = (&OWN.made, &OWN.ran);
                        forked(|| {
                            made.store(0, Ordering::SeqCst);
                            ran.store(0, Ordering::SeqCst);
                            for _ in 0..4 {
                                one_of_any_kind(&mut random, &OWN);
                            }
                            OWN.assert_none_lost();
                        })
                        .unwrap();
                        CHILDREN.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        mixed(4, until, &COUNTS);
        for forker in forkers {
            forker.join().unwrap();
        }
        println!("storm of {} forks", CHILDREN.load(Ordering::Relaxed));
        COUNTS.tell("beside forks");
    }
}

/// Any thread of a storm ends its process, by exit or by exec: the process ends with that status.
#[test]
fn exit_and_exec_from_any_thread() {
    static COUNTS: Counts = Counts::new();
    const SHELL: &CStr = c"/bin/sh";
    if let Some(until) = storm("process::exit_and_exec_from_any_thread", |_| ()) {
        let mut random = Random(11);
        let mut ends = [0; 2];
        while Instant::now() < until || ends.contains(&0) {
            let how = random.below(2) as usize;
            let after = random.below(200);
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0, "{}", std::io::Error::last_os_error());
            if pid == 0 {
                crate::common::watchdog(60);
                let end = move || unsafe {
                    match how {
                        0 => libc::exit(7),
                        _ => {
                            let args = [c"sh", c"-c", c"exit 7"].map(CStr::as_ptr);
                            let args = [args[0], args[1], args[2], ptr::null()];
                            libc::execv(SHELL.as_ptr(), args.as_ptr());
                            libc::_exit(3)
                        }
                    }
                };
                for seed in 0..4 {
                    let spawner = move || {
                        let mut random = Random(seed);
                        loop {
                            one_of_any_kind(&mut random, &COUNTS);
                            if seed == 0 && COUNTS.made.load(Ordering::Relaxed) >= after {
                                end();
                            }
                        }
                    };
                    // Where the process ends meanwhile, a refusal says nothing.
                    drop(rawthread::Builder::new().spawn(spawner));
                }
                loop {
                    std::thread::park();
                }
            }
            let mut status = 0;
            poll_until("the process ends", || unsafe {
                libc::waitpid(pid, &mut status, libc::WNOHANG) == pid
            });
            assert!(libc::WIFEXITED(status), "{how}: {status:#x}");
            assert_eq!(libc::WEXITSTATUS(status), 7, "{how}");
            ends[how] += 1;
        }
        println!("storm of {} exits and {} execs", ends[0], ends[1]);
    }
}
