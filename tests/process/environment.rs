//! The child's environment is the caller's own, but for what was changed.

use std::ffi::{CStr, c_char};
use std::ptr;

use rawthread::process::Command;

use crate::common;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// What `env` prints, a line for each string.
fn printed(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn strings_that_are_no_variables_are_passed_on() {
    if !common::in_subprocess("environment::strings_that_are_no_variables_are_passed_on") {
        return;
    }
    let strings: [&CStr; 4] = [c"PATH=/bin:/usr/bin", c"no equals sign", c"A=1", c"A=2"];
    let mut pointers = strings.map(CStr::as_ptr).to_vec();
    pointers.push(ptr::null());
    // SAFETY: the process has no other thread that looks, and the strings stay.
    unsafe { environ = pointers.as_ptr() };
    let expected = strings.map(|text| text.to_str().unwrap());
    assert_eq!(printed(&mut Command::new("env")), expected);
    // With changes it is made anew, of variables alone, as std makes it.
    let mut changed = Command::new("env");
    let lines = printed(changed.env("B", "3"));
    assert!(lines.contains(&"B=3".into()) && !lines.contains(&"no equals sign".into()));
    // What is changed back is changed.
    let lines = printed(Command::new("env").env("B", "3").env_remove("B"));
    assert!(!lines.contains(&"B=3".into()));
    // A program is looked for in the caller's PATH of this moment.
    pointers[0] = c"PATH=/nowhere".as_ptr();
    let error = Command::new("env").spawn().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    // SAFETY: as above; no variables at all, as `clearenv(3)` leaves it.
    unsafe { environ = ptr::null() };
    assert_eq!(printed(&mut Command::new("/usr/bin/env")), [""; 0]);
}

/// `std::env::set_var` takes a lock that the kernel does not know.
#[test]
fn another_thread_may_change_variables_by_std() {
    use std::sync::atomic::{AtomicBool, Ordering};

    if !common::in_subprocess("environment::another_thread_may_change_variables_by_std") {
        return;
    }
    static STOP: AtomicBool = AtomicBool::new(false);
    let changer = std::thread::spawn(|| {
        for round in 0.. {
            for index in 0..300 {
                // SAFETY: other threads read variables by std's functions.
                unsafe { std::env::set_var(format!("V{index}_{}", round % 7), "x".repeat(30)) };
            }
            for index in 0..300 {
                // SAFETY: as above.
                unsafe { std::env::remove_var(format!("V{index}_{}", round % 7)) };
            }
            if STOP.load(Ordering::Relaxed) {
                return;
            }
        }
    });
    for _ in 0..300 {
        let status = Command::new("/bin/true").status().unwrap();
        assert!(status.success(), "{status}");
    }
    STOP.store(true, Ordering::Relaxed);
    changer.join().unwrap();
}
