//! What programs, arguments and paths may be given as.

use alloc::borrow::{Cow, ToOwned};
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};

use crate::error::Error;

/// Text for the kernel: bytes without a NUL.
///
/// Implemented for strings, bytes and, with `std`, for `OsStr` and `Path`, borrowed, owned or `Cow`.
///
/// ```
/// use rawthread::process::KernelStr;
///
/// assert_eq!("ls".as_kernel_bytes(), b"ls");
/// ```
pub trait KernelStr {
    /// The bytes, without a NUL at the end.
    ///
    /// ```
    /// use rawthread::process::KernelStr;
    ///
    /// assert_eq!(c"ls".as_kernel_bytes(), b"ls");
    /// ```
    fn as_kernel_bytes(&self) -> &[u8];
}

macro_rules! text {
    ($($type:ty, $value:ident => $bytes:expr;)*) => {$(
        impl KernelStr for $type {
            fn as_kernel_bytes(&self) -> &[u8] {
                let $value = self;
                $bytes
            }
        }
    )*};
}

text! {
    str, text => text.as_bytes();
    String, text => text.as_bytes();
    [u8], bytes => bytes;
    Vec<u8>, bytes => bytes;
    CStr, text => text.to_bytes();
    CString, text => text.to_bytes();
}

#[cfg(feature = "std")]
text! {
    std::ffi::OsStr, text => std::os::unix::ffi::OsStrExt::as_bytes(text);
    std::ffi::OsString, text => std::os::unix::ffi::OsStrExt::as_bytes(text.as_os_str());
    std::path::Path, path => std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    std::path::PathBuf, path => std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
}

impl<T: KernelStr + ?Sized> KernelStr for &T {
    fn as_kernel_bytes(&self) -> &[u8] {
        (**self).as_kernel_bytes()
    }
}

impl<T: KernelStr + ToOwned + ?Sized> KernelStr for Cow<'_, T> {
    fn as_kernel_bytes(&self) -> &[u8] {
        (**self).as_kernel_bytes()
    }
}

impl<const N: usize> KernelStr for [u8; N] {
    fn as_kernel_bytes(&self) -> &[u8] {
        self
    }
}

/// `text` as the kernel takes it; `None` if there is a NUL in it.
pub(super) fn cstring(text: &dyn KernelStr) -> Option<CString> {
    CString::new(Vec::from(text.as_kernel_bytes())).ok()
}

/// The error of every string with a NUL in it.
pub(super) const NUL_IN_STRING: Error = Error::invalid_input(
    "a program, argument, variable or path with a NUL byte in it",
    "The kernel's strings end at the first NUL: remove it.",
);

/// The addresses of the strings, and a null: what `execve(2)` takes.
pub(super) fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([core::ptr::null()])
        .collect()
}
