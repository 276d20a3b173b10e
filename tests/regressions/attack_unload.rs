//! A library that has this crate in it, closed by `dlclose` when all that it did is over: what libc
//! and idle threads still know of its code must be there.

use std::ffi::{CStr, CString, c_void};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};

use super::common::{self, Directory, poll_until};

/// The test binary's own copy of the crate plays no part.
pub(super) struct Plugin(usize);

impl Plugin {
    /// `None`, with a line that says so, where the plugin was linked with a newer glibc than runs here.
    pub(super) fn open(path: &str) -> Option<Self> {
        let name = CString::new(path).unwrap();
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            let error = unsafe { CStr::from_ptr(libc::dlerror()) };
            let error = error.to_string_lossy();
            assert!(error.contains("version `GLIBC_"), "{error}");
            println!("SKIP: {error}");
            return None;
        }
        Some(Self(handle as usize))
    }

    pub(super) fn function<F: Copy>(&self, name: &str) -> F {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        let name = CString::new(name).unwrap();
        let address = unsafe { libc::dlsym(self.0 as *mut c_void, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        // Its type in plugin/src/lib.rs.
        unsafe { std::mem::transmute_copy(&address) }
    }

    fn close(self) {
        assert_eq!(unsafe { libc::dlclose(self.0 as *mut c_void) }, 0);
    }
}

/// Builds the plugin and runs `body` in a process of its own, by its path.
pub(super) fn with_plugin(test: &str, body: fn(&str)) {
    const PATH: &str = "RAWTHREAD_TEST_PLUGIN";
    if common::is_child(test) {
        common::watchdog(60);
        return body(&std::env::var(PATH).unwrap());
    }
    if cfg!(target_feature = "crt-static") || cfg!(target_env = "musl") {
        skip!("such a program loads no libraries, or keeps them");
    }
    // The package may be one below ci/.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|root| root.join("tests/regressions/plugin").is_dir())
        .unwrap();
    let source = root.join("tests/regressions/plugin");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin");
    std::fs::create_dir_all(&target).unwrap();
    // One cargo at a time copies and reads the lock file.
    let lock = std::fs::File::create(target.join("lock")).unwrap();
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) }, 0);
    std::fs::copy(root.join("Cargo.lock"), source.join("Cargo.lock")).unwrap();
    let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--offline", "--quiet", "--target-dir"])
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .current_dir(&source)
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        common::stdout_stderr(&built).1
    );
    // Under a path of its own, so that no other test's build changes it.
    let directory = Directory::new(&test.replace("::", "-"));
    let plugin = directory.path().join("libplugin.so");
    std::fs::copy(target.join("debug/libplugin.so"), &plugin).unwrap();
    drop(lock);
    let output = common::rerun_self(test).env(PATH, &plugin).output();
    common::assert_output(test, &output.unwrap());
}

/// libc called the destructor of the record's key at the end of the thread, where no code was.
#[test]
fn a_thread_that_a_plugin_knew_ends_after_the_plugin_is_closed() {
    with_plugin(
        "attack_unload::a_thread_that_a_plugin_knew_ends_after_the_plugin_is_closed",
        |path| {
            let Some(plugin) = Plugin::open(path) else {
                return;
            };
            let ask: extern "C" fn() = plugin.function("ask");
            let gate = Arc::new(Barrier::new(2));
            let theirs = gate.clone();
            let thread = std::thread::spawn(move || {
                ask();
                theirs.wait();
                theirs.wait();
            });
            gate.wait();
            plugin.close();
            gate.wait();
            thread.join().unwrap();
        },
    );
}

/// The idle thread woke at the end of its time in memory that was gone.
#[test]
fn an_idle_thread_of_a_plugin_ends_after_the_plugin_is_closed() {
    with_plugin(
        "attack_unload::an_idle_thread_of_a_plugin_ends_after_the_plugin_is_closed",
        |path| {
            let Some(plugin) = Plugin::open(path) else {
                return;
            };
            let warm: extern "C" fn() -> i32 = plugin.function("warm");
            let tid = warm();
            plugin.close();
            let task = format!("/proc/self/task/{tid}");
            poll_until("the idle thread ends", || !Path::new(&task).exists());
            // Opened again it finds its threads as it left them.
            let Some(plugin) = Plugin::open(path) else {
                return;
            };
            let spawn: extern "C" fn() = plugin.function("spawn");
            spawn();
            plugin.close();
        },
    );
}
