//! A static PIE relocates itself.
//!
//! No loader does it, and until it is done every address that lies in the program's data is wrong
//! by the distance the program was moved. So the code here uses none: no tables, no trait objects,
//! no formatting, nothing but its arguments and the stack.
#![allow(unsafe_code, reason = "writes addresses into the program's own data")]

use super::tls_image;
use crate::sys::arch::R_RELATIVE;
use crate::sys::{file, memory, task};

const DT_NULL: usize = 0;
const DT_NEEDED: usize = 1;
const DT_PLTRELSZ: usize = 2;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_REL: usize = 17;
const DT_TEXTREL: usize = 22;
const DT_JMPREL: usize = 23;
const DT_FLAGS: usize = 30;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;
/// In `DT_FLAGS`: what `DT_TEXTREL` says.
const DF_TEXTREL: usize = 4;

/// "No relocation", on every architecture.
const R_NONE: usize = 0;

/// What the program asks of its loader and is not done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsupported {
    /// A shared library.
    Library,
    /// Changes to the code, which is not writable; or relocations without addends, which neither
    /// architecture uses.
    Form,
    /// A relocation of this kind (`R_*`).
    Kind(u32),
}

/// One entry of `DT_RELA`.
#[repr(C)]
struct Rela {
    offset: usize,
    /// The symbol in the upper half, the kind in the lower.
    info: usize,
    addend: usize,
}

/// Relocates the program that `auxv`, its auxiliary vector, describes, if it was moved; then
/// makes read-only what only its loader writes.
///
/// Relative relocations are all that Rust code needs in a static program. What else the dynamic
/// section asks for (an ifunc of C's, thread-locals of a library, a library) ends the program with a
/// message: it would crash later, and far from the reason.
///
/// # Safety
/// `auxv` is the process's auxiliary vector; this is the first thing the process does, once.
#[inline(never)]
pub(super) unsafe fn relocate_self(auxv: *const [u64; 2]) {
    let (mut headers, mut count, mut page) = (0, 0, 1);
    let mut pair = auxv;
    // SAFETY: the vector ends in AT_NULL; AT_PHDR and AT_PHNUM describe the program's headers; what
    // the dynamic section says of a table is true of the program as it was linked, and `load_bias` is
    // where that program lies.
    unsafe {
        while (*pair)[0] != libc::AT_NULL {
            match (*pair)[0] {
                libc::AT_PHDR => headers = (*pair)[1] as usize,
                libc::AT_PHNUM => count = (*pair)[1] as usize,
                libc::AT_PAGESZ => page = (*pair)[1] as usize,
                _ => {}
            }
            pair = pair.wrapping_add(1);
        }
        if headers == 0 {
            fatal(b"fatal: no program headers (AT_PHDR)\n");
        }
        let load_bias = tls_image::load_bias(headers, count);
        let mut relro = core::ptr::null::<libc::Elf64_Phdr>();
        let mut header = headers as *const libc::Elf64_Phdr;
        while count > 0 {
            if (*header).p_type == libc::PT_DYNAMIC {
                let dynamic = load_bias.wrapping_add((*header).p_vaddr as usize);
                if let Some(what) = apply_dynamic(dynamic as *const [usize; 2], load_bias) {
                    refuse(what);
                }
            }
            if (*header).p_type == libc::PT_GNU_RELRO {
                relro = header;
            }
            header = header.wrapping_add(1);
            count -= 1;
        }
        if !relro.is_null() {
            // The linker sees to it that the first page holds nothing else; of where the last one
            // ends this machine may have a larger idea.
            let start = load_bias.wrapping_add((*relro).p_vaddr as usize);
            let end = start.wrapping_add((*relro).p_memsz as usize) & page.wrapping_neg();
            let start = start & page.wrapping_neg();
            // Where a sandbox forbids it, and where no whole page is left, the program is no worse
            // off than without.
            let _ = memory::mprotect(start as *mut u8, end.wrapping_sub(start), libc::PROT_READ);
        }
    }
}

/// Ends a program that asks for what is not done here.
#[cold]
#[inline(never)]
fn refuse(what: Unsupported) -> ! {
    match what {
        Unsupported::Library => refuse_library(),
        Unsupported::Form => fatal(b"fatal: relocations in code, or without addends\n"),
        Unsupported::Kind(kind) => refuse_kind(kind),
    }
}

/// Ends a program that needs shared libraries.
#[cold]
#[inline(never)]
pub(super) fn refuse_library() -> ! {
    fatal(b"fatal: not a static program: link with -static-pie\n")
}

/// Ends a program with a relocation of this kind.
#[cold]
#[inline(never)]
pub(super) fn refuse_kind(mut kind: u32) -> ! {
    let mut digits = [0; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (kind % 10) as u8;
        kind /= 10;
        if kind == 0 || at == 0 {
            break;
        }
    }
    let _ = file::write(2, b"fatal: a relocation of kind ");
    let _ = file::write(2, digits.get(at..).unwrap_or(&[]));
    fatal(b" is not done here (an ifunc?)\n")
}

/// Used before relocation: the message must come from the caller's own instructions, not from a
/// table of messages.
#[cold]
#[inline(never)]
pub(super) fn fatal(message: &[u8]) -> ! {
    let _ = file::write(2, message);
    task::exit_group(127)
}

/// Returns what the section asks for and is not done here.
///
/// Nothing here may be a call of a function that is not of this crate, for instance by `?` or of a
/// method that is not always inlined: without optimisation the call goes through the global offset
/// table, which these relocations fill.
///
/// # Safety
/// `dynamic` is the program's dynamic section; the program was moved by `load_bias`.
unsafe fn apply_dynamic(dynamic: *const [usize; 2], load_bias: usize) -> Option<Unsupported> {
    let (mut rela, mut rela_len) = (0, 0);
    let (mut late, mut late_len) = (0, 0);
    let (mut relr, mut relr_len) = (0, 0);
    let (mut needs_library, mut has_other_form) = (false, false);
    let mut entry = dynamic;
    // SAFETY: as in `relocate_self`.
    unsafe {
        while (*entry)[0] != DT_NULL {
            let [tag, value] = *entry;
            if tag == DT_RELA {
                rela = value;
            } else if tag == DT_RELASZ {
                rela_len = value;
            } else if tag == DT_JMPREL {
                late = value;
            } else if tag == DT_PLTRELSZ {
                late_len = value;
            } else if tag == DT_RELR {
                relr = value;
            } else if tag == DT_RELRSZ {
                relr_len = value;
            } else if tag == DT_NEEDED {
                needs_library = true;
            } else if tag == DT_TEXTREL
                || tag == DT_REL
                || tag == DT_FLAGS && value & DF_TEXTREL != 0
            {
                has_other_form = true;
            }
            entry = entry.wrapping_add(1);
        }
        if needs_library {
            return Some(Unsupported::Library);
        }
        if has_other_form {
            return Some(Unsupported::Form);
        }
        // First, for the linker puts the global offset table there.
        let relr = load_bias.wrapping_add(relr);
        apply_relr(
            relr as *const usize,
            relr_len / size_of::<usize>(),
            load_bias,
        );
        let refused = apply_rela(load_bias.wrapping_add(rela), rela_len, load_bias);
        if let Some(what) = refused {
            return Some(what);
        }
        // What the linker would bind late, had it a library to bind to.
        apply_rela(load_bias.wrapping_add(late), late_len, load_bias)
    }
}

/// Returns a relocation that is not done here.
///
/// # Safety
/// The table of `len` bytes describes the program, which was moved by `load_bias`.
unsafe fn apply_rela(table: usize, len: usize, load_bias: usize) -> Option<Unsupported> {
    let mut at = table;
    while at < table.wrapping_add(len) {
        // SAFETY: as in `relocate_self`.
        unsafe {
            let entry = at as *const Rela;
            let kind = (*entry).info;
            if kind == R_RELATIVE {
                let place = load_bias.wrapping_add((*entry).offset) as *mut usize;
                *place = load_bias.wrapping_add((*entry).addend);
            } else if kind != R_NONE {
                return Some(Unsupported::Kind(kind as u32));
            }
        }
        at = at.wrapping_add(size_of::<Rela>());
    }
    None
}

/// `DT_RELR`: an even word is the address of a place, an odd one a bitmap over the 63 places after
/// those said before. Each place holds an address that is to be moved.
///
/// # Safety
/// The table has `count` words and describes the program, which was moved by `load_bias`.
unsafe fn apply_relr(table: *const usize, count: usize, load_bias: usize) {
    const PLACES: usize = usize::BITS as usize - 1;
    let mut next = core::ptr::null_mut::<usize>();
    let mut index = 0;
    while index < count {
        // SAFETY: as in `relocate_self`.
        unsafe {
            let word = *table.wrapping_add(index);
            if word & 1 == 0 {
                let place = load_bias.wrapping_add(word) as *mut usize;
                *place = (*place).wrapping_add(load_bias);
                next = place.wrapping_add(1);
            } else {
                let mut bit = 0;
                while bit < PLACES {
                    if word >> (bit + 1) & 1 == 1 {
                        let place = next.wrapping_add(bit);
                        *place = (*place).wrapping_add(load_bias);
                    }
                    bit += 1;
                }
                next = next.wrapping_add(PLACES);
            }
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rela_and_relr_move_the_places_they_name_and_no_others() {
        // The "program": linked at 0, loaded where `places` lies.
        let mut places = [0usize; 200];
        for (index, place) in places.iter_mut().enumerate() {
            *place = index;
        }
        let load_bias = places.as_ptr() as usize;
        let rela = [
            Rela {
                offset: 8,
                info: R_RELATIVE,
                addend: 0x1000,
            },
            Rela {
                offset: 16,
                info: R_NONE,
                addend: 0x1000,
            },
        ];
        // Place 3; of the 63 after it the first and the last; of the next 63 the second.
        let relr = [3 * 8, 1 | 1 << 1 | 1usize << 63, 1 | 1 << 2];
        let dynamic = [
            [DT_RELA, (rela.as_ptr() as usize).wrapping_sub(load_bias)],
            [DT_RELASZ, size_of_val(&rela)],
            [DT_RELR, (relr.as_ptr() as usize).wrapping_sub(load_bias)],
            [DT_RELRSZ, size_of_val(&relr)],
            [DT_NULL, 0],
        ];
        // SAFETY: every place lies in `places`.
        let done = unsafe { apply_dynamic(dynamic.as_ptr(), load_bias) };
        assert_eq!(done, None);
        for (index, place) in places.iter().enumerate() {
            let expected = match index {
                1 => load_bias + 0x1000,
                3 | 4 | 66 | 68 => load_bias + index,
                _ => index,
            };
            assert_eq!(*place, expected, "place {index}");
        }
    }

    #[test]
    fn what_is_not_done_is_said() {
        let mut word = 0usize;
        let offset = (&raw mut word).addr();
        let other = |info| Rela {
            offset,
            info,
            addend: 7,
        };
        let tables = [
            other(R_RELATIVE + 1),
            other(1 << 32 | R_RELATIVE),
            other(u32::MAX as usize),
        ];
        for entry in &tables {
            for [table, len] in [[DT_RELA, DT_RELASZ], [DT_JMPREL, DT_PLTRELSZ]] {
                let address = core::ptr::from_ref(entry).addr();
                let dynamic = [[table, address], [len, size_of::<Rela>()], [DT_NULL, 0]];
                // SAFETY: the place is `word`.
                let done = unsafe { apply_dynamic(dynamic.as_ptr(), 0) };
                assert_eq!(done, Some(Unsupported::Kind(entry.info as u32)));
            }
        }
        for (tag, value, expected) in [
            (DT_NEEDED, 0, Some(Unsupported::Library)),
            (DT_TEXTREL, 0, Some(Unsupported::Form)),
            (DT_FLAGS, DF_TEXTREL | 8, Some(Unsupported::Form)),
            (DT_FLAGS, 8, None),
            (DT_REL, 0, Some(Unsupported::Form)),
            (0x6fff_fffb, 0x0800_0000, None),
        ] {
            let dynamic = [[tag, value], [DT_NULL, 0]];
            // SAFETY: no table names a place.
            assert_eq!(unsafe { apply_dynamic(dynamic.as_ptr(), 0) }, expected);
        }
        assert_eq!(word, 0);
    }
}
