//! Where the loader's `_rtld_global` lies, found without a question to the loader.
//!
//! dlsym(3) takes a lock, and a process that was forked while another thread held it would wait for
//! ever. So the loader's own symbol table is read: the kernel says where it mapped the loader
//! (`AT_BASE`, getauxval(3)), whose headers lead to the table. Its format is the gABI's, with the hash
//! table that glibc is linked with (`DT_GNU_HASH`).
#![allow(unsafe_code, reason = "reads the loader's symbol table")]

use core::ffi::{CStr, c_char};
use core::ops::Range;
use core::slice;

const NAME: &CStr = c"_rtld_global";

const DT_NULL: usize = 0;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_GNU_HASH: usize = 0x6fff_fef5;

/// `Elf64_Dyn`.
#[repr(C)]
struct Dynamic {
    tag: usize,
    value: usize,
}

/// The head of a `DT_GNU_HASH` table; then a filter of 64-bit words, the buckets, the chains.
#[repr(C)]
struct HashHeader {
    buckets: u32,
    first_symbol: u32,
    filter_words: u32,
    filter_shift: u32,
}

/// The addresses of the variable. None in a static program, with a libc that has no such variable, and
/// where the program was given to the loader as an argument.
pub(super) fn range() -> Option<Range<usize>> {
    // SAFETY: asks libc for a number.
    let base = unsafe { libc::getauxval(libc::AT_BASE) } as usize;
    if base == 0 {
        return None;
    }
    // SAFETY: the kernel's word about the loader, whose image stays mapped; all tables lie in it, and
    // are as the formats say.
    unsafe {
        let header = &*(base as *const libc::Elf64_Ehdr);
        let segments = slice::from_raw_parts(
            (base + header.e_phoff as usize) as *const libc::Elf64_Phdr,
            header.e_phnum.into(),
        );
        let dynamic = segments
            .iter()
            .find(|segment| segment.p_type == libc::PT_DYNAMIC)?;
        let dynamic = (base + dynamic.p_vaddr as usize) as *const Dynamic;
        let table = |tag| {
            let mut entry = dynamic;
            while (*entry).tag != tag {
                if (*entry).tag == DT_NULL {
                    return None;
                }
                entry = entry.add(1);
            }
            // Some loaders have relocated these words, others have not.
            let value = (*entry).value;
            Some(if value < base { base + value } else { value })
        };
        let symbols = table(DT_SYMTAB)? as *const libc::Elf64_Sym;
        let names = table(DT_STRTAB)?;
        let index = find(table(DT_GNU_HASH)? as *const HashHeader, |index| {
            let name = names + (*symbols.add(index)).st_name as usize;
            CStr::from_ptr(name as *const c_char) == NAME
        })?;
        let symbol = &*symbols.add(index);
        let start = base + symbol.st_value as usize;
        Some(start..start + symbol.st_size as usize)
    }
}

/// The number of the symbol, of those with the name's hash the first that `is_it`.
///
/// # Safety
/// The table is whole.
unsafe fn find(header: *const HashHeader, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
    let hash = NAME.to_bytes().iter().fold(5381u32, |hash, byte| {
        hash.wrapping_mul(33).wrapping_add((*byte).into())
    });
    // SAFETY: as the caller vouches: a bucket has the number of its first symbol, and each symbol's
    // chain word its hash, whose lowest bit says that it is the bucket's last.
    unsafe {
        let filter = header.add(1).cast::<u64>();
        let buckets = filter.add((*header).filter_words as usize).cast::<u32>();
        let chains = buckets.add((*header).buckets as usize);
        let mut index = *buckets.add((hash % (*header).buckets) as usize);
        while index >= (*header).first_symbol {
            let word = *chains.add((index - (*header).first_symbol) as usize);
            if word | 1 == hash | 1 && is_it(index as usize) {
                return Some(index as usize);
            }
            if word & 1 == 1 {
                break;
            }
            index += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_where_the_loader_says() {
        // SAFETY: asks for an address.
        let told = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_rtld_global".as_ptr()) };
        let found = super::range();
        if told.is_null() {
            assert_eq!(found, None);
        } else {
            let found = found.unwrap();
            assert_eq!(found.start, told as usize);
            assert!((1024..1 << 16).contains(&found.len()), "{found:?}");
        }
    }
}
