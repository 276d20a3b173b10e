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

/// As above, but the child has never made a thread: it knew of no lock, and its first spawn waited for
/// ever. libc makes its threads, for which the loader is not asked. The fork comes while another thread
/// is inside of the loader.
fn spawn_in_child(hold: impl FnOnce() + Send + 'static) -> rawthread::Support {
    let holder = std::thread::spawn(hold);
    GATE.wait();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        watchdog(20);
        for round in 0..3 {
            assert_eq!(rawthread::spawn(move || round).join().unwrap(), round);
            assert_eq!(rawthread::warm::spawn(move || round).join().unwrap(), round);
            rawthread::trim();
        }
        let host = rawthread::host().unwrap();
        println!("{host}");
        let is_libc = host.support() == rawthread::Support::Libc;
        unsafe { libc::_exit(if is_libc { 18 } else { 17 }) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    GATE.wait();
    holder.join().unwrap();
    // The parent has the thread that unlocks.
    assert_eq!(rawthread::spawn(|| 8).join().unwrap(), 8);
    match libc::WEXITSTATUS(status) {
        17 => rawthread::Support::Full,
        18 => rawthread::Support::Libc,
        _ => panic!("the child: {status:#x}"),
    }
}

fn loader_has_locks() -> bool {
    let has = cfg!(target_env = "gnu") && !cfg!(target_feature = "crt-static");
    if !has {
        println!("SKIP: no loader, or one with other locks");
    }
    has
}

#[test]
fn a_child_of_a_fork_beside_a_visitor_makes_its_first_thread() {
    const NAME: &str =
        "attack_loader_lock::a_child_of_a_fork_beside_a_visitor_makes_its_first_thread";
    if in_subprocess(NAME) && loader_has_locks() {
        let support = spawn_in_child(|| unsafe {
            libc::dl_iterate_phdr(Some(hold), std::ptr::null_mut());
        });
        assert_eq!(support, rawthread::Support::Libc);
    }
}

/// Called by the library's constructor, by an address in the environment.
extern "C" fn hold_in_constructor() {
    GATE.wait();
    GATE.wait();
}

#[test]
fn a_child_of_a_fork_beside_a_dlopen_makes_its_first_thread() {
    const NAME: &str =
        "attack_loader_lock::a_child_of_a_fork_beside_a_dlopen_makes_its_first_thread";
    const SOURCE: &str = "#include <stdlib.h>\n\
        __attribute__((constructor)) static void hold(void) {\n\
            ((void (*)(void))strtoull(getenv(\"RAWTHREAD_HOLD\"), 0, 10))();\n\
        }\n";
    if !in_subprocess(NAME) || !loader_has_locks() {
        return;
    }
    let dir = super::common::Directory::new("loader_lock");
    let (source, library) = (dir.path().join("hold.c"), dir.path().join("hold.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let built = std::process::Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    match built {
        Ok(status) => assert!(status.success()),
        Err(error) => skip!("gcc: {error}"),
    }
    let name = std::ffi::CString::new(library.to_str().unwrap()).unwrap();
    let hold = hold_in_constructor as *const () as usize;
    unsafe { std::env::set_var("RAWTHREAD_HOLD", hold.to_string()) };
    // A constructor runs under a lock that fork puts in order, in some versions.
    spawn_in_child(move || {
        assert!(!unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }.is_null());
    });
}
