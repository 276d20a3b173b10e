//! A fork while another thread holds the lock of the loader's list of modules, as `dlopen`, `dlclose`
//! and visitors of `dl_iterate_phdr` do: fork leaves it locked for ever in the child.

use std::ffi::c_void;
use std::sync::Barrier;

use super::common::{in_subprocess, watchdog};

static GATE: Barrier = Barrier::new(2);

unsafe extern "C" fn hold(_: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> i32 {
    GATE.wait();
    GATE.wait();
    1
}

/// The child's first thread of libc's asked the loader what had come since, and waited for ever.
#[test]
fn a_child_makes_threads_although_a_lock_of_the_loader_is_lost() {
    if !in_subprocess(
        "attack_loader_lock::a_child_makes_threads_although_a_lock_of_the_loader_is_lost",
    ) {
        return;
    }
    if cfg!(target_feature = "crt-static") || cfg!(target_env = "musl") {
        skip!("no libraries come later, or another lock");
    }
    rawthread::spawn(|| ()).join().unwrap();
    // The loader's count of modules moves, so that the next new thread of libc's asks.
    let come = [
        c"libresolv.so.2",
        c"libanl.so.1",
        c"libnsl.so.1",
        c"libutil.so.1",
    ]
    .into_iter()
    .filter(|name| unsafe {
        libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD).is_null()
            && !libc::dlopen(name.as_ptr(), libc::RTLD_NOW).is_null()
    })
    .count();
    if come == 0 {
        skip!("no library that was not loaded");
    }
    let holder = std::thread::spawn(|| unsafe {
        libc::dl_iterate_phdr(Some(hold), std::ptr::null_mut());
    });
    GATE.wait();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        watchdog(20);
        for round in 0..3 {
            assert_eq!(rawthread::spawn(move || round).join().unwrap(), round);
            assert_eq!(rawthread::warm::spawn(move || round).join().unwrap(), round);
            rawthread::scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| ());
                }
            });
            rawthread::trim();
        }
        unsafe { libc::_exit(17) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    GATE.wait();
    holder.join().unwrap();
    assert_eq!(status, 17 << 8, "{status:#x}");
    // The parent asks as before.
    rawthread::spawn(|| ()).join().unwrap();
}
