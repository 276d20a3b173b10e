//! The child's environment, and where in it programs are looked for.
//!
//! Without changes the kernel is handed the caller's own array of strings: nothing is copied, and
//! what is no variable (no `=`, or a name twice) is passed on as it is. With changes the child gets
//! an array that is made of the caller's variables.
#![allow(unsafe_code, reason = "reads the address of the caller's environment")]

use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::c_char;
use core::fmt;

use super::pid_variable::PidVariable;
use super::shell_word::Quoted;
use crate::error::Error;
use crate::process::kernel_str::{NUL_IN_STRING, pointers};

/// Where programs are looked for if the child has no `PATH`: what `confstr(_CS_PATH)` says.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Whether other threads may change variables while this one reads them: by std's functions, which lock.
const HAS_LOCK: bool = cfg!(feature = "std");

/// Changes to the caller's environment, in the order of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    cleared: bool,
    /// The child gets a copy, where it would have the caller's own array.
    copies: bool,
    /// `None`: removed.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The variable that has the child's pid; no name of `changes`.
    pid: Option<Vec<u8>>,
}

impl Environment {
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.pid.take_if(|pid| pid == name);
        self.changes.insert(name.to_vec(), Some(value.to_vec()));
    }

    pub(super) fn set_to_pid(&mut self, name: &[u8]) {
        self.changes.remove(name);
        self.pid = Some(name.to_vec());
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.pid.take_if(|pid| pid == name);
        self.changes.insert(name.to_vec(), None);
    }

    pub(super) fn clear(&mut self) {
        self.cleared = true;
        self.changes.clear();
        self.pid = None;
    }

    pub(super) fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// Names with their values, or `None` where removed, in the order of names.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes
            .iter()
            .map(|(name, value)| (&**name, value.as_deref()))
    }

    /// The changes as a shell takes them before a command.
    pub(super) fn write_changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cleared {
            f.write_str("env -i ")?;
        } else if self.changes.values().any(Option::is_none) {
            f.write_str("env ")?;
        }
        let removed = self.changes.iter().filter(|(_, value)| value.is_none());
        for (name, _) in removed.filter(|_| !self.cleared) {
            write!(f, "-u {} ", name.escape_ascii())?;
        }
        for (name, value) in &self.changes {
            if let Some(value) = value {
                write!(f, "{}={} ", name.escape_ascii(), Quoted(value))?;
            }
        }
        if let Some(name) = &self.pid {
            write!(f, "{}=$$ ", name.escape_ascii())?;
        }
        Ok(())
    }

    /// Has children get a copy that is made under std's lock, until [`Environment::end_copying`]; false,
    /// and nothing changed, where they do, or where there is no such lock.
    pub(super) fn begin_copying(&mut self) -> bool {
        let begins = HAS_LOCK && !self.copies && self.is_callers();
        self.copies |= begins;
        begins
    }

    pub(super) fn end_copying(&mut self) {
        self.copies = false;
    }

    /// What the child gets.
    pub(super) fn build(&self) -> Result<Built, Error> {
        if self.is_callers()
            && !self.copies
            && let Some(array) = callers::array()
        {
            return Ok(Built::Callers(array));
        }
        let strings = self.strings()?;
        let pid = self.pid.as_deref().map(PidVariable::new).transpose()?;
        let mut array = pointers(&strings);
        if let Some(pid) = &pid {
            array.insert(0, pid.as_ptr());
        }
        Ok(Built::Own {
            strings,
            pid,
            array,
        })
    }

    /// Whether it is the caller's, unchanged.
    fn is_callers(&self) -> bool {
        !self.cleared && self.changes.is_empty() && self.pid.is_none()
    }

    /// The `NAME=value` strings of a child whose environment is not the caller's.
    fn strings(&self) -> Result<Vec<CString>, Error> {
        let mut strings = Vec::new();
        if !self.cleared {
            inherited(&mut |name, value| {
                let is_pid = self.pid.as_deref() == Some(name);
                if !self.changes.contains_key(name) && !is_pid {
                    strings.push(join(name, value));
                }
            });
        }
        for (name, value) in &self.changes {
            if let Some(value) = value {
                strings.push(join(name, value));
            }
        }
        strings
            .into_iter()
            .collect::<Option<_>>()
            .ok_or(NUL_IN_STRING)
    }
}

/// The environment of one child.
pub(super) enum Built {
    /// The caller's array, or null: no variables. Only the kernel looks into it, in `execve`, where
    /// a string that another thread frees meanwhile is at worst an EFAULT. Code that
    /// changes the environment by `setenv(3)` while others read it breaks that function's contract. One that does so
    /// by `std::env::set_var` does not: then the kernel may meet an address that is no string's any more, and the
    /// spawn is tried again with a copy ([`Environment::begin_copying`]).
    Callers(*const *const c_char),
    Own {
        strings: Vec<CString>,
        /// A string that the child completes.
        pid: Option<PidVariable>,
        /// The strings' addresses, and a null.
        array: Vec<*const c_char>,
    },
}

impl Built {
    /// For `execve(2)`.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        match self {
            Self::Callers(array) => *array,
            Self::Own { array, .. } => array.as_ptr(),
        }
    }

    /// The variable that the child writes.
    pub(super) fn pid_variable(&self) -> Option<&PidVariable> {
        match self {
            Self::Callers(_) => None,
            Self::Own { pid, .. } => pid.as_ref(),
        }
    }

    /// The child's `PATH`.
    pub(super) fn path(&self) -> Option<Vec<u8>> {
        match self {
            Self::Callers(_) => callers::path(),
            Self::Own { strings, .. } => strings
                .iter()
                .find_map(|string| string.as_bytes().strip_prefix(b"PATH="))
                .map(<[u8]>::to_vec),
        }
    }
}

/// `name=value`; `None` if there is a NUL in it.
fn join(name: &[u8], value: &[u8]) -> Option<CString> {
    // Capacity for the NUL too, or CString would move the text to make some.
    let mut text = Vec::with_capacity(name.len() + value.len() + 2);
    text.extend_from_slice(name);
    text.push(b'=');
    text.extend_from_slice(value);
    CString::new(text).ok()
}

/// The paths under which `program` is looked for, in order, as `execvp(3)` has it: itself if it
/// has a slash, else in each directory of the child's `PATH`.
pub(super) fn search_paths(program: &CString, environment: &Built) -> Result<Vec<CString>, Error> {
    let name = program.as_bytes();
    if name.is_empty() || name.contains(&b'/') {
        return Ok(alloc::vec![program.clone()]);
    }
    let path = environment.path();
    let path = path.as_deref().unwrap_or(DEFAULT_PATH);
    path.split(|byte| *byte == b':')
        // Too long for a directory's path, and so none.
        .filter(|directory| directory.len() < libc::PATH_MAX as usize)
        .map(|directory| {
            let mut candidate = directory.to_vec();
            // An empty part means the working directory, and "name" is what lies there.
            if !directory.is_empty() {
                candidate.push(b'/');
            }
            candidate.extend_from_slice(name);
            CString::new(candidate).map_err(|_| NUL_IN_STRING)
        })
        .collect()
}

/// The caller's own environment, in a program with a C library.
#[cfg(feature = "hosted")]
mod callers {
    use alloc::vec::Vec;
    use core::ffi::c_char;
    use core::sync::atomic::{AtomicPtr, Ordering};

    unsafe extern "C" {
        /// `environ(7)`.
        static mut environ: *mut *const c_char;
    }

    pub(super) fn array() -> Option<*const *const c_char> {
        // SAFETY: a word of libc's that stays; others write it whole.
        let word = unsafe { AtomicPtr::from_ptr(&raw mut environ) };
        // Relaxed: only an address is read, which the kernel follows.
        Some(word.load(Ordering::Relaxed).cast_const())
    }

    /// Under std's lock.
    #[cfg(feature = "std")]
    pub(super) fn path() -> Option<Vec<u8>> {
        std::env::var_os("PATH").map(std::os::unix::ffi::OsStringExt::into_vec)
    }

    #[cfg(not(feature = "std"))]
    pub(super) fn path() -> Option<Vec<u8>> {
        // SAFETY: `setenv(3)` must not be called meanwhile, which its caller sees to, as for any
        // other reader in the program.
        unsafe {
            let text = libc::getenv(c"PATH".as_ptr());
            (!text.is_null()).then(|| core::ffi::CStr::from_ptr(text).to_bytes().to_vec())
        }
    }

    #[cfg(not(feature = "std"))]
    pub(super) fn each_string(each: &mut dyn FnMut(&[u8])) {
        let mut next = array().filter(|array| !array.is_null());
        while let Some(place) = next {
            // SAFETY: an array of strings up to a null; `setenv(3)` is not called meanwhile, as above.
            let string = unsafe { *place };
            next = (!string.is_null()).then(|| {
                // SAFETY: as above.
                each(unsafe { core::ffi::CStr::from_ptr(string) }.to_bytes());
                place.wrapping_add(1)
            });
        }
    }
}

/// The environment that the kernel left on the initial stack.
#[cfg(all(not(feature = "hosted"), feature = "start", not(test)))]
mod callers {
    use alloc::vec::Vec;
    use core::ffi::c_char;

    use crate::runtime::freestanding::start;

    pub(super) fn array() -> Option<*const *const c_char> {
        Some(start::env().as_ptr())
    }

    pub(super) fn path() -> Option<Vec<u8>> {
        start::var(c"PATH").map(|text| text.to_bytes().to_vec())
    }

    pub(super) fn each_string(each: &mut dyn FnMut(&[u8])) {
        start::env().for_each(|string| each(string.to_bytes()));
    }
}

/// In a program that this crate did not start, only `/proc` tells the environment.
#[cfg(not(any(feature = "hosted", all(feature = "start", not(test)))))]
mod callers {
    use alloc::vec::Vec;
    use core::ffi::c_char;

    pub(super) fn array() -> Option<*const *const c_char> {
        None
    }

    pub(super) fn path() -> Option<Vec<u8>> {
        None
    }

    pub(super) fn each_string(each: &mut dyn FnMut(&[u8])) {
        let mut text = Vec::new();
        let Ok(file) = crate::sys::file::open(c"/proc/self/environ", libc::O_RDONLY) else {
            return;
        };
        let mut buffer = [0; 1024];
        while let Ok(len @ 1..) = crate::sys::file::read(file.as_raw(), &mut buffer) {
            text.extend_from_slice(&buffer[..len]);
        }
        text.split(|byte| *byte == 0).for_each(each);
    }
}

/// The caller's variables. With std, under std's lock.
#[cfg(feature = "std")]
fn inherited(each: &mut dyn FnMut(&[u8], &[u8])) {
    use std::os::unix::ffi::OsStrExt;
    for (name, value) in std::env::vars_os() {
        each(name.as_bytes(), value.as_bytes());
    }
}

/// The caller's variables.
#[cfg(not(feature = "std"))]
fn inherited(each: &mut dyn FnMut(&[u8], &[u8])) {
    callers::each_string(&mut |string| {
        if let Some(equals) = string.iter().position(|byte| *byte == b'=') {
            each(&string[..equals], &string[equals + 1..]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(program: &str, variables: &[&str]) -> Vec<Vec<u8>> {
        let strings: Vec<CString> = variables
            .iter()
            .map(|text| CString::new(*text).unwrap())
            .collect();
        let array = pointers(&strings);
        let environment = Built::Own {
            strings,
            pid: None,
            array,
        };
        search_paths(&CString::new(program).unwrap(), &environment)
            .unwrap()
            .into_iter()
            .map(CString::into_bytes)
            .collect()
    }

    #[test]
    fn a_program_is_looked_for_as_execvp_does() {
        assert_eq!(paths("./x", &["PATH=/a"]), [b"./x".to_vec()]);
        assert_eq!(
            paths("x", &["A=b", "PATH=/a::b/"]),
            [b"/a/x".to_vec(), b"x".to_vec(), b"b//x".to_vec()]
        );
        assert_eq!(paths("x", &["PATH="]), [b"x".to_vec()]);
        assert_eq!(
            paths("x", &[]),
            [b"/bin/x".to_vec(), b"/usr/bin/x".to_vec()]
        );
        assert_eq!(paths("", &["PATH=/a"]), [b"".to_vec()]);
    }

    #[test]
    fn changes_apply_to_what_is_inherited() {
        let mut environment = Environment::default();
        environment.set(b"A", b"1");
        environment.clear();
        environment.set(b"B", b"2");
        environment.set(b"C", b"3");
        environment.remove(b"C");
        let built = environment.strings().unwrap();
        assert_eq!(built, [CString::from(c"B=2")]);
        environment.set(b"D", b"\0");
        assert!(environment.build().is_err());
    }
}
