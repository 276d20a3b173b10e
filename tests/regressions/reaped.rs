//! A thread that was joined may be on the kernel's list of the process for a moment, and
//! `unshare(CLONE_NEWUSER)`, which takes processes with one thread only, says EINVAL then.
//! `join_reaped` waits until it is off the list.

use super::common::in_subprocess;

/// Forks a process that makes a thread by `run`, then asks for a user namespace; its errno, or 0.
fn errno_after(run: fn()) -> i32 {
    match unsafe { libc::fork() } {
        0 => {
            super::common::watchdog(60);
            run();
            let refused = unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0;
            let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
            unsafe { libc::_exit(if refused { errno } else { 0 }) }
        }
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        pid => {
            let mut status = 0;
            while unsafe { libc::waitpid(pid, &mut status, 0) } == -1 {}
            assert!(libc::WIFEXITED(status), "{status:#x}");
            libc::WEXITSTATUS(status)
        }
    }
}

/// The contenders take turns. Only the last one promises something; the others' counts are printed.
#[test]
fn a_user_namespace_can_be_had_after_join_reaped() {
    const NAME: &str = "reaped::a_user_namespace_can_be_had_after_join_reaped";
    const ROUNDS: usize = 300;
    const CONTENDERS: [(&str, fn()); 3] = [
        ("std, join", || std::thread::spawn(|| ()).join().unwrap()),
        ("join", || rawthread::spawn(|| ()).join().unwrap()),
        ("join_reaped", || {
            rawthread::spawn(|| ()).join_reaped().unwrap();
        }),
    ];
    if !in_subprocess(NAME) {
        return;
    }
    let without_thread = errno_after(|| ());
    if without_thread != 0 {
        let error = std::io::Error::from_raw_os_error(without_thread);
        skip!("no user namespace here: {error}");
    }
    let mut refused = [0; CONTENDERS.len()];
    for _ in 0..ROUNDS {
        for (count, (name, run)) in refused.iter_mut().zip(CONTENDERS) {
            match errno_after(run) {
                0 => {}
                libc::EINVAL => *count += 1,
                errno => panic!("{name}: {}", std::io::Error::from_raw_os_error(errno)),
            }
        }
    }
    for (count, (name, _)) in refused.iter().zip(CONTENDERS) {
        println!("{name}: {count} of {ROUNDS} refused");
    }
    assert_eq!(refused[2], 0, "after join_reaped");
}
