//! A variable whose value is the child's own process id, which the child writes before `execve`.

use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_char;

use crate::error::Error;
use crate::process::kernel_str::NUL_IN_STRING;

/// `NAME=`, and space for the digits of an `i32` and a NUL.
pub(super) struct PidVariable {
    text: Vec<Cell<u8>>,
    /// Where the digits begin.
    value: usize,
}

impl PidVariable {
    const DIGITS: usize = 10;

    /// # Errors
    /// A NUL in the name.
    pub(super) fn new(name: &[u8]) -> Result<Self, Error> {
        if name.contains(&0) {
            return Err(NUL_IN_STRING);
        }
        let value = name.len() + 1;
        let space = core::iter::repeat_n(&0, Self::DIGITS + 1);
        let text = name.iter().chain(b"=").chain(space);
        Ok(Self {
            text: text.copied().map(Cell::new).collect(),
            value,
        })
    }

    /// The string for `execve(2)`; it ends in NUL before and after the pid is written.
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.text.as_ptr().cast()
    }

    /// Writes the value. Runs in the child: it neither allocates nor panics.
    pub(super) fn write(&self, pid: i32) {
        let pid = pid.unsigned_abs();
        let powers = (0..Self::DIGITS as u32)
            .rev()
            .map(|exponent| 10u32.pow(exponent));
        let digits = powers.filter(|power| pid >= *power || *power == 1);
        let digits = digits.map(|power| b'0' + (pid / power % 10) as u8);
        let places = self.text.iter().skip(self.value);
        for (place, byte) in places.zip(digits.chain([0])) {
            place.set(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pid_is_written_as_decimal() {
        let variable = PidVariable::new(b"A").unwrap();
        let mut powers: Vec<i32> = (0..10).map(|n| 10i32.pow(n)).collect();
        powers.extend([0, 9, 4_194_304, i32::MAX, 7]);
        for pid in powers {
            variable.write(pid);
            let bytes = variable.text.iter().map(Cell::get);
            let text: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
            assert_eq!(text, std::format!("A={pid}").into_bytes());
        }
        assert!(PidVariable::new(b"A\0").is_err());
    }
}
