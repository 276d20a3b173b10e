//! The kernel's error numbers.

use core::fmt;

/// An error number as the kernel returned it: 1 to 4095.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Errno(u16);

impl Errno {
    pub(crate) const EPERM: Self = Self::new(libc::EPERM);
    pub(crate) const ESRCH: Self = Self::new(libc::ESRCH);
    pub(crate) const EINTR: Self = Self::new(libc::EINTR);
    pub(crate) const EAGAIN: Self = Self::new(libc::EAGAIN);
    pub(crate) const ECANCELED: Self = Self::new(libc::ECANCELED);
    pub(crate) const ENOMEM: Self = Self::new(libc::ENOMEM);
    pub(crate) const EACCES: Self = Self::new(libc::EACCES);
    pub(crate) const EINVAL: Self = Self::new(libc::EINVAL);
    pub(crate) const E2BIG: Self = Self::new(libc::E2BIG);
    pub(crate) const EBUSY: Self = Self::new(libc::EBUSY);
    pub(crate) const EOPNOTSUPP: Self = Self::new(libc::EOPNOTSUPP);
    pub(crate) const ENFILE: Self = Self::new(libc::ENFILE);
    pub(crate) const EMFILE: Self = Self::new(libc::EMFILE);
    pub(crate) const ENOSYS: Self = Self::new(libc::ENOSYS);
    pub(crate) const ETIMEDOUT: Self = Self::new(libc::ETIMEDOUT);

    /// The error of this positive number (`libc::EAGAIN`, ...).
    pub(crate) const fn new(number: i32) -> Self {
        assert!(number > 0 && number < 4096);
        Self(number as u16)
    }

    /// The number as C's `errno` has it.
    pub(crate) const fn number(self) -> i32 {
        self.0 as i32
    }

    /// Splits a system call's return value: -4095 to -1 are errors.
    pub(crate) const fn check(returned: isize) -> Result<usize, Self> {
        if returned < 0 && returned > -4096 {
            Err(Self(-returned as u16))
        } else {
            Ok(returned as usize)
        }
    }

    /// The symbol of the numbers this crate meets, for messages.
    pub(crate) const fn name(self) -> &'static str {
        match self.number() {
            libc::EPERM => "EPERM",
            libc::ENOENT => "ENOENT",
            libc::ESRCH => "ESRCH",
            libc::EINTR => "EINTR",
            libc::EIO => "EIO",
            libc::E2BIG => "E2BIG",
            libc::ENOEXEC => "ENOEXEC",
            libc::EBADF => "EBADF",
            libc::ECHILD => "ECHILD",
            libc::EAGAIN => "EAGAIN",
            libc::ENOMEM => "ENOMEM",
            libc::EACCES => "EACCES",
            libc::EFAULT => "EFAULT",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::ENODEV => "ENODEV",
            libc::ENOTDIR => "ENOTDIR",
            libc::EISDIR => "EISDIR",
            libc::EINVAL => "EINVAL",
            libc::ENFILE => "ENFILE",
            libc::EMFILE => "EMFILE",
            libc::ENOTTY => "ENOTTY",
            libc::ETXTBSY => "ETXTBSY",
            libc::ENOSPC => "ENOSPC",
            libc::ERANGE => "ERANGE",
            libc::EDEADLK => "EDEADLK",
            libc::ENAMETOOLONG => "ENAMETOOLONG",
            libc::ENOSYS => "ENOSYS",
            libc::ELOOP => "ELOOP",
            libc::EOVERFLOW => "EOVERFLOW",
            libc::EOWNERDEAD => "EOWNERDEAD",
            libc::EUSERS => "EUSERS",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::ETIMEDOUT => "ETIMEDOUT",
            libc::ESTALE => "ESTALE",
            libc::ECANCELED => "ECANCELED",
            _ => "errno",
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}
