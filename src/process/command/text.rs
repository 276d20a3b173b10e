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
/// use rawthread::process::Text;
///
/// assert_eq!("ls".bytes_for_kernel(), b"ls");
/// ```
pub trait Text {
    /// The bytes, without a NUL at the end.
    ///
    /// ```
    /// use rawthread::process::Text;
    ///
    /// assert_eq!(c"ls".bytes_for_kernel(), b"ls");
    /// ```
    fn bytes_for_kernel(&self) -> &[u8];
}

macro_rules! text {
    ($($type:ty, $value:ident => $bytes:expr;)*) => {$(
        impl Text for $type {
            fn bytes_for_kernel(&self) -> &[u8] {
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

impl<T: Text + ?Sized> Text for &T {
    fn bytes_for_kernel(&self) -> &[u8] {
        (**self).bytes_for_kernel()
    }
}

impl<const N: usize> Text for [u8; N] {
    fn bytes_for_kernel(&self) -> &[u8] {
        self
    }
}
