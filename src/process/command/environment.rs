//! The child's environment, and where in it programs are looked for.

use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::vec::Vec;

use super::before_exec::NUL_IN_STRING;
use crate::error::Error;

/// Where programs are looked for if the child has no `PATH`: what `confstr(_CS_PATH)` says.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Changes to the caller's environment, in the order of names.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    cleared: bool,
    /// `None`: removed.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Environment {
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.changes.insert(name.to_vec(), Some(value.to_vec()));
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.changes.insert(name.to_vec(), None);
    }

    pub(super) fn clear(&mut self) {
        self.cleared = true;
        self.changes.clear();
    }

    /// The child's `NAME=value` strings.
    pub(super) fn build(&self) -> Result<Vec<CString>, Error> {
        let mut strings = Vec::new();
        if !self.cleared {
            inherited(&mut |name, value| {
                if !self.changes.contains_key(name) {
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

/// `name=value`; `None` if there is a NUL in it.
fn join(name: &[u8], value: &[u8]) -> Option<CString> {
    // Room for the NUL too, or CString would move the text to make some.
    let mut text = Vec::with_capacity(name.len() + value.len() + 2);
    text.extend_from_slice(name);
    text.push(b'=');
    text.extend_from_slice(value);
    CString::new(text).ok()
}

/// The paths under which `program` is looked for, in order, as `execvp(3)` has it: itself if it
/// has a slash, else in each directory of the child's `PATH`.
pub(super) fn search_paths(
    program: &CString,
    environment: &[CString],
) -> Result<Vec<CString>, Error> {
    let name = program.as_bytes();
    if name.is_empty() || name.contains(&b'/') {
        return Ok(alloc::vec![program.clone()]);
    }
    let path = environment
        .iter()
        .find_map(|string| string.as_bytes().strip_prefix(b"PATH="))
        .unwrap_or(DEFAULT_PATH);
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

/// The caller's variables. With std, under std's lock.
#[cfg(feature = "std")]
fn inherited(each: &mut dyn FnMut(&[u8], &[u8])) {
    use std::os::unix::ffi::OsStrExt;
    for (name, value) in std::env::vars_os() {
        each(name.as_bytes(), value.as_bytes());
    }
}

/// The caller's variables, as the kernel gave them to the process: no libc here, and nobody who
/// would change them.
#[cfg(not(feature = "std"))]
fn inherited(each: &mut dyn FnMut(&[u8], &[u8])) {
    let mut text = Vec::new();
    let Ok(file) = crate::sys::file::open(c"/proc/self/environ", libc::O_RDONLY) else {
        return;
    };
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = crate::sys::file::read(file.as_raw(), &mut buffer) {
        text.extend_from_slice(&buffer[..len]);
    }
    for string in text.split(|byte| *byte == 0) {
        if let Some(equals) = string.iter().position(|byte| *byte == b'=') {
            each(&string[..equals], &string[equals + 1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(program: &str, variables: &[&str]) -> Vec<Vec<u8>> {
        let variables: Vec<CString> = variables
            .iter()
            .map(|text| CString::new(*text).unwrap())
            .collect();
        search_paths(&CString::new(program).unwrap(), &variables)
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
        let built = environment.build().unwrap();
        assert_eq!(built, [CString::from(c"B=2")]);
        environment.set(b"D", b"\0");
        assert!(environment.build().is_err());
    }
}
