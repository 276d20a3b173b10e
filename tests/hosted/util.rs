//! What the tests share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Tells a child which test it is.
const ALONE: &str = "RAWTHREAD_TEST_ALONE";
/// Tells a child what to find: `guest` or `unsupported`.
pub(crate) const HOST: &str = "RAWTHREAD_TEST_HOST";

/// Runs before `main`, so before any test has made a thread.
#[used]
#[unsafe(link_section = ".init_array")]
static ASSUME: extern "C" fn() = {
    extern "C" fn assume() {
        let first = match std::env::var(HOST).as_deref() {
            Ok("guest") => rawthread::testing::assume_guest(),
            Ok("unsupported") => rawthread::testing::assume_unsupported(),
            _ => true,
        };
        assert!(first, "the host was decided before the tests began");
    }
    assume
};

/// Whether raw threads are full citizens; says so where they are not.
pub(crate) fn full() -> bool {
    let host = rawthread::host().unwrap();
    let full = host.citizenship() == rawthread::Citizenship::Full;
    if !full {
        println!("SKIP: {host}");
    }
    full
}

/// Whether this process may change its ids; says so where it may not.
pub(crate) fn root() -> bool {
    // SAFETY: asks.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        println!("SKIP: changing ids needs root");
    }
    root
}

/// This test in a process of its own.
fn again(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, test)
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap()
}

fn is_child(test: &str) -> bool {
    std::env::var(ALONE).is_ok_and(|name| name == test)
}

/// Kills this process by SIGALRM if it does not end in time: a hang is a failure, not a wait.
pub(crate) fn watchdog(seconds: u32) {
    // SAFETY: the default action of SIGALRM ends the process.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds);
    }
}

/// Runs one test alone in a process of its own with a watchdog. Returns whether the caller is
/// that process.
pub(crate) fn alone(test: &str) -> bool {
    if is_child(test) {
        watchdog(120);
        return true;
    }
    let output = again(test);
    let (out, err) = texts(&output);
    assert!(
        output.status.success(),
        "{test}: {}\n{out}\n{err}",
        output.status
    );
    assert!(out.contains("1 passed"), "{test} did not run:\n{out}");
    if let Some(skip) = out.lines().find(|line| line.contains("SKIP:")) {
        println!("{skip}");
    }
    false
}

/// Runs one test in a process that is to die of it: `None` in that process, how it died in the
/// one that waited.
pub(crate) fn deadly(test: &str) -> Option<Output> {
    if is_child(test) {
        watchdog(120);
        // SAFETY: a plain structure; no core files of expected deaths.
        unsafe {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
        }
        return None;
    }
    Some(again(test))
}

/// Standard output and standard error of a child.
pub(crate) fn texts(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A directory that goes away with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rawthread-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A shared library of C source, opened; `None` where that cannot be.
pub(crate) fn library(dir: &TempDir, name: &str, source: &str, flags: &[&str]) -> Option<Library> {
    if cfg!(target_feature = "crt-static") {
        println!("SKIP: a static program does not load libraries");
        return None;
    }
    let text = dir.path().join(format!("{name}.c"));
    let object = dir.path().join(format!("{name}.so"));
    std::fs::write(&text, source).unwrap();
    let built = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1"])
        .args(flags)
        .arg("-o")
        .args([&object, &text])
        .output();
    match built {
        Ok(output) => assert!(output.status.success(), "{}", texts(&output).1),
        Err(error) => {
            println!("SKIP: gcc: {error}");
            return None;
        }
    }
    Some(Library::open(&object))
}

/// A shared library that is closed with the value.
pub(crate) struct Library(usize);

impl Library {
    pub(crate) fn open(path: &Path) -> Self {
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the tests' libraries may be loaded anywhere.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{}", path.display());
        Self(handle as usize)
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` must be its type: a plain `extern "C"` function pointer.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &str) -> F {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: the handle is open.
        let address = unsafe { libc::dlsym(self.0 as *mut _, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        // SAFETY: as the caller vouches.
        unsafe { std::mem::transmute_copy(&address) }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: opened by `open`.
        assert_eq!(unsafe { libc::dlclose(self.0 as *mut _) }, 0);
    }
}

/// Runs `closure` on a raw thread to its end.
pub(crate) fn on_raw<T: Send + 'static>(closure: impl FnOnce() -> T + Send + 'static) -> T {
    rawthread::spawn(closure).join().unwrap()
}

/// A value whose address other threads may use; the test says why that is sound.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: the tests pass addresses of things that libc made for sharing.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Never freed.
    pub(crate) fn new(value: T) -> Self {
        Self(Box::into_raw(Box::new(value)))
    }

    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}

/// Retries what the kernel may do a moment later.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 60, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
