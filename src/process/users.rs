//! Looking users up by name.
#![cfg_attr(
    all(
        feature = "hosted",
        not(all(target_env = "gnu", target_feature = "crt-static"))
    ),
    allow(unsafe_code, reason = "asks libc")
)]

use alloc::ffi::CString;
use alloc::vec::Vec;

use super::kernel_str::{KernelStr, NUL_IN_STRING, cstring};
use crate::error::{Error, Operation};
use crate::sys::Errno;

/// What a process of a user has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The user's own group too.
    pub(super) groups: Vec<u32>,
}

static LOOK_UP: Operation = Operation {
    name: "getpwnam_r",
    purpose: "look the user up",
    hint: |errno| match errno.number() {
        libc::EMFILE | libc::ENFILE => "Close descriptors, or raise RLIMIT_NOFILE.",
        _ => "Does /etc/passwd exist, and does the directory service answer?",
    },
};

/// # Errors
/// That of the look-up; or there is none of that name.
pub(super) fn look_up(name: &dyn KernelStr) -> Result<User, Error> {
    let name = cstring(name).ok_or(NUL_IN_STRING)?;
    find(&name)
        .map_err(|errno| Error::from_operation(&LOOK_UP, errno))?
        .ok_or(Error::invalid_input(
            "there is no user of that name",
            "Look in /etc/passwd, or give a number to `uid`.",
        ))
}

/// Asks libc. Not in static programs: a static glibc would load its modules for that.
#[cfg(all(
    feature = "hosted",
    not(all(target_env = "gnu", target_feature = "crt-static"))
))]
fn find(name: &CString) -> Result<Option<User>, Errno> {
    /// More than any record: a group's may list thousands of members.
    const MOST: usize = 1 << 24;
    let mut text: Vec<libc::c_char> = alloc::vec![0; 1024];
    let (uid, gid) = loop {
        // SAFETY: all zero bytes are a valid record of null pointers.
        let mut record: libc::passwd = unsafe { core::mem::zeroed() };
        let mut found = core::ptr::null_mut();
        // SAFETY: a string, and places of these sizes.
        let error = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                &raw mut record,
                text.as_mut_ptr(),
                text.len(),
                &raw mut found,
            )
        };
        match error {
            _ if !found.is_null() => break (record.pw_uid, record.pw_gid),
            // What libcs say of a name that is not there: getpwnam(3).
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => return Ok(None),
            libc::EINTR => {}
            libc::ERANGE if text.len() < MOST => text.resize(text.len() * 4, 0),
            _ => return Err(Errno::new(error.clamp(1, 4095))),
        }
    };
    let mut groups = alloc::vec![0; 32];
    loop {
        let mut count = groups.len() as i32;
        // SAFETY: a string, and space for that many numbers.
        let all =
            unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let count = usize::try_from(count).unwrap_or(0);
        if all >= 0 {
            groups.truncate(count);
            return Ok(Some(User { uid, gid, groups }));
        }
        if groups.len() >= MOST {
            return Err(Errno::new(libc::ERANGE));
        }
        groups.resize(count.max(groups.len() * 2), 0);
    }
}

/// Reads the files.
#[cfg(not(all(
    feature = "hosted",
    not(all(target_env = "gnu", target_feature = "crt-static"))
)))]
fn find(name: &CString) -> Result<Option<User>, Errno> {
    use crate::sys::file;
    let read = |path| {
        let file = file::open(path, libc::O_RDONLY)?;
        let mut text = Vec::new();
        loop {
            text.reserve(4096);
            match file::read_to_spare(file.as_raw(), &mut text) {
                Ok(0) => return Ok(text),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    };
    let users = read(c"/etc/passwd")?;
    let groups = match read(c"/etc/group") {
        Err(errno) if errno.number() == libc::ENOENT => Vec::new(),
        other => other?,
    };
    Ok(parse(name.as_bytes(), &users, &groups))
}

/// Finds a user in the text of `/etc/passwd`, and its groups in that of `/etc/group`: lines of fields with
/// colons between them, see `passwd(5)` and `group(5)`.
#[cfg(any(
    test,
    not(all(
        feature = "hosted",
        not(all(target_env = "gnu", target_feature = "crt-static"))
    ))
))]
fn parse(name: &[u8], users: &[u8], groups: &[u8]) -> Option<User> {
    let records = |text| <[u8]>::split(text, |byte| *byte == b'\n').map(fields);
    let number = |field: Option<&[u8]>| core::str::from_utf8(field?).ok()?.parse::<u32>().ok();
    let (uid, gid) = records(users).find_map(|mut fields| {
        (fields.next()? == name && !name.is_empty()).then_some(())?;
        Some((number(fields.nth(1))?, number(fields.next())?))
    })?;
    let mut all = alloc::vec![gid];
    for mut fields in records(groups) {
        let group = number(fields.nth(2));
        let members = fields.next().unwrap_or_default();
        let is_member = members
            .split(|byte| *byte == b',')
            .any(|member| member == name);
        if let (Some(group), true) = (group, is_member)
            && group != gid
        {
            all.push(group);
        }
    }
    Some(User {
        uid,
        gid,
        groups: all,
    })
}

#[cfg(any(
    test,
    not(all(
        feature = "hosted",
        not(all(target_env = "gnu", target_feature = "crt-static"))
    ))
))]
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b':')
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const USERS: &[u8] = b"root:x:0:0:root:/:/bin/sh\n# a note\nbroken:x\n\n\
        web:x:33:34:w,,:/var:/bin/false\nweb2:x:5:6::/:\nnot:x:a:6::/:\n";
    const GROUPS: &[u8] =
        b"root:x:0:\nweb:x:34:web\nssl:x:101:root,web\nother:x:102:web2\nbad:x::web\nlast:x:9:web";

    fn find(name: &str) -> Option<User> {
        parse(name.as_bytes(), USERS, GROUPS)
    }

    #[test]
    fn users_are_found_in_the_files() {
        let user = |uid, gid, groups: &[u32]| {
            let groups = groups.to_vec();
            Some(User { uid, gid, groups })
        };
        assert_eq!(find("web"), user(33, 34, &[34, 101, 9]));
        assert_eq!(find("web2"), user(5, 6, &[6, 102]));
        assert_eq!(find("root"), user(0, 0, &[0, 101]));
        for none in ["", "we", "broken", "not", "# a note", "web:x"] {
            assert_eq!(find(none), None, "{none}");
        }
    }
    /// Any text of the two files, whatever broke it, has the user of that name or none.
    #[test]
    fn any_file_has_the_user_or_none() {
        let users: std::vec::Vec<&str> = core::str::from_utf8(USERS).unwrap().lines().collect();
        let groups: std::vec::Vec<&str> = core::str::from_utf8(GROUPS).unwrap().lines().collect();
        crate::primitive::cases::cases(3_000, |random| {
            let odd = [":", "::", "\n", ",", "web", "4294967296", "-1"];
            let mut text = |lines: &[&str]| {
                let lines = (0..4).map(|_| crate::primitive::cases::mutated(random, lines, &odd));
                lines.collect::<std::vec::Vec<_>>().join("\n")
            };
            let (users, groups) = (text(&users), text(&groups));
            let Some(user) = parse(b"web", users.as_bytes(), groups.as_bytes()) else {
                return;
            };
            let is_its = |line: &str| {
                let fields: std::vec::Vec<&str> = line.split(':').collect();
                fields[0] == "web"
                    && fields.get(2).is_some_and(|uid| uid.parse() == Ok(user.uid))
                    && fields.get(3).is_some_and(|gid| gid.parse() == Ok(user.gid))
            };
            assert!(users.split('\n').any(is_its), "{users:?}");
            assert_eq!(user.groups[0], user.gid);
            for group in &user.groups[1..] {
                let has_it = |line: &str| {
                    let fields: std::vec::Vec<&str> = line.split(':').collect();
                    let is_member = |members: &&str| members.split(',').any(|name| name == "web");
                    fields.get(2).is_some_and(|gid| gid.parse() == Ok(*group))
                        && fields.get(3).is_some_and(is_member)
                };
                assert!(groups.split('\n').any(has_it), "{groups:?}");
            }
        });
    }
}
