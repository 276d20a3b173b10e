//! Bytes as one word of a shell's line.

use core::fmt::{self, Write};

/// One word of a shell's line: in double quotes, in which nothing is expanded. What does not print stands
/// as `$'\x..'`, which bash, zsh and POSIX of 2024 read.
pub(super) struct Quoted<'a>(pub(super) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' | '$' | '`' => write!(f, "\\{character}")?,
                    _ if character.is_control() => {
                        write_bytes(f, character.encode_utf8(&mut [0; 4]).as_bytes())?;
                    }
                    _ => f.write_char(character)?,
                }
            }
            write_bytes(f, chunk.invalid())?;
        }
        f.write_char('"')
    }
}

/// Leaves the double quotes for what they cannot hold.
fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for byte in bytes {
        write!(f, "\"$'\\x{byte:02x}'\"")?;
    }
    Ok(())
}
