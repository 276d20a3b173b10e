//! What programs, arguments and paths may be given as.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;

/// Text for the kernel: bytes without a NUL.
///
/// Implemented for strings, bytes and, with `std`, for `OsStr` and `Path`.
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

impl<const N: usize> KernelStr for [u8; N] {
    fn as_kernel_bytes(&self) -> &[u8] {
        self
    }
}
