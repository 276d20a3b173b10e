//! A static PIE relocates itself.
//!
//! No loader does it, and until it is done every address that lies in the program's data is wrong
//! by the distance the program was moved. So the code here uses none: no tables, no trait objects,
//! no formatting, nothing but its arguments and the stack.
#![allow(unsafe_code, reason = "writes addresses into the program's own data")]

use super::tls_image;
use crate::sys::arch::R_RELATIVE;
use crate::sys::memory;

const DT_NULL: usize = 0;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;

/// One entry of `DT_RELA`.
#[repr(C)]
struct Rela {
    offset: usize,
    /// The symbol in the upper half, the kind in the lower.
    info: usize,
    addend: usize,
}

/// Relocates the program that `auxv`, its auxiliary vector, describes, if it was moved; then
/// takes the right to write away from what nobody but its loader writes.
///
/// A static program can have no relocation but relative ones, for a symbol that was not found at
/// link time is never found; and those of C's `ifunc`s (`R_X86_64_IRELATIVE`), which are left out.
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
        let load_bias = tls_image::load_bias(headers, count);
        let mut relro = core::ptr::null::<libc::Elf64_Phdr>();
        let mut header = headers as *const libc::Elf64_Phdr;
        while count > 0 {
            if (*header).p_type == libc::PT_DYNAMIC && load_bias != 0 {
                let dynamic = load_bias.wrapping_add((*header).p_vaddr as usize);
                apply_dynamic(dynamic as *const [usize; 2], load_bias);
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

/// # Safety
/// `dynamic` is the program's dynamic section; the program was moved by `load_bias`.
unsafe fn apply_dynamic(dynamic: *const [usize; 2], load_bias: usize) {
    let (mut rela, mut rela_len, mut relr, mut relr_len) = (0, 0, 0, 0);
    let mut entry = dynamic;
    // SAFETY: as in `relocate_self`.
    unsafe {
        while (*entry)[0] != DT_NULL {
            let value = (*entry)[1];
            match (*entry)[0] {
                DT_RELA => rela = load_bias.wrapping_add(value),
                DT_RELASZ => rela_len = value,
                DT_RELR => relr = load_bias.wrapping_add(value),
                DT_RELRSZ => relr_len = value,
                _ => {}
            }
            entry = entry.wrapping_add(1);
        }
        let mut at = rela;
        while at < rela.wrapping_add(rela_len) {
            let entry = at as *const Rela;
            if (*entry).info == R_RELATIVE {
                let place = load_bias.wrapping_add((*entry).offset) as *mut usize;
                *place = load_bias.wrapping_add((*entry).addend);
            }
            at = at.wrapping_add(size_of::<Rela>());
        }
        apply_relr(
            relr as *const usize,
            relr_len / size_of::<usize>(),
            load_bias,
        );
    }
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
                info: R_RELATIVE + 1,
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
        unsafe { apply_dynamic(dynamic.as_ptr(), load_bias) };
        for (index, place) in places.iter().enumerate() {
            let expected = match index {
                1 => load_bias + 0x1000,
                3 | 4 | 66 | 68 => load_bias + index,
                _ => index,
            };
            assert_eq!(*place, expected, "place {index}");
        }
    }
}
