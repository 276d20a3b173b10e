//! The program starts once more, as one whose headers ask for what `start` cannot do.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicUsize, Ordering};
use rawthread::start::{self, print};

rawthread::entry!(main);

unsafe extern "C" {
    fn restart(stack: *const usize) -> !;
}

const AT_PHDR: usize = 3;
const AT_PHNUM: usize = 5;
const AT_PAGESZ: usize = 6;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;

const DT_NEEDED: usize = 1;
const DT_PLTRELSZ: usize = 2;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_REL: usize = 17;
const DT_RELSZ: usize = 18;
const DT_TEXTREL: usize = 22;
const DT_JMPREL: usize = 23;
const DT_FLAGS: usize = 30;
const DF_TEXTREL: usize = 4;

#[cfg(target_arch = "x86_64")]
mod kind {
    pub const RELATIVE: usize = 8;
    pub const COPY: usize = 5;
    pub const TLS: usize = 16;
    pub const IRELATIVE: usize = 37;
}
#[cfg(target_arch = "aarch64")]
mod kind {
    pub const RELATIVE: usize = 1027;
    pub const COPY: usize = 1024;
    pub const TLS: usize = 1028;
    pub const IRELATIVE: usize = 1032;
}

/// As the ELF specification has it.
#[repr(C)]
struct Header {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    physical: usize,
    in_file: usize,
    in_memory: usize,
    align: usize,
}

impl Header {
    fn new(kind: u32, address: usize) -> Self {
        Self {
            kind,
            flags: 4,
            offset: 1,
            address,
            physical: address,
            in_file: 0,
            in_memory: 0,
            align: 8,
        }
    }
}

static WORD: AtomicUsize = AtomicUsize::new(0);

fn main() -> i32 {
    let Some(case) = start::args().nth(1) else {
        print(format_args!("again, {}\n", WORD.load(Ordering::Relaxed)));
        return 0;
    };
    // Offset, kind and symbol, addend.
    let word = WORD.as_ptr().addr();
    let relocations = |kind| [[word, kind::RELATIVE, 5], [word, 0, 0], [word, kind, 6]];
    let copy = relocations(kind::COPY);
    let tls = relocations(kind::TLS);
    let ifunc = relocations(kind::IRELATIVE);
    let of_symbol = relocations(1 << 32 | kind::RELATIVE);
    let good = relocations(kind::RELATIVE);
    let len = size_of_val(&good);
    let dynamic: [[usize; 2]; 3] = match case.to_bytes() {
        b"good" => [[DT_RELA, good.as_ptr().addr()], [DT_RELASZ, len], [0; 2]],
        b"good-plt" => [
            [DT_JMPREL, good.as_ptr().addr()],
            [DT_PLTRELSZ, len],
            [0; 2],
        ],
        b"copy" => [[DT_RELA, copy.as_ptr().addr()], [DT_RELASZ, len], [0; 2]],
        b"tls" => [[DT_RELA, tls.as_ptr().addr()], [DT_RELASZ, len], [0; 2]],
        b"symbol" => [
            [DT_RELA, of_symbol.as_ptr().addr()],
            [DT_RELASZ, len],
            [0; 2],
        ],
        b"ifunc" => [
            [DT_JMPREL, ifunc.as_ptr().addr()],
            [DT_PLTRELSZ, len],
            [0; 2],
        ],
        b"rel" => [[DT_REL, good.as_ptr().addr()], [DT_RELSZ, len], [0; 2]],
        b"library" => [[DT_NEEDED, 1], [0; 2], [0; 2]],
        b"text" => [[DT_TEXTREL, 0], [0; 2], [0; 2]],
        b"text-flag" => [[DT_FLAGS, DF_TEXTREL], [0; 2], [0; 2]],
        _ => [[0; 2]; 3],
    };
    let mut headers = [
        Header::new(PT_PHDR, 0),
        Header::new(PT_DYNAMIC, dynamic.as_ptr().addr()),
    ];
    headers[0].address = headers.as_ptr().addr();
    let key = if case == c"no-headers" { 1 } else { AT_PHDR };
    let name = c"refused".as_ptr().addr();
    #[repr(align(16))]
    struct Stack {
        #[allow(dead_code, reason = "for the stack that begins above it")]
        room: [u8; 256 << 10],
        words: [usize; 12],
    }
    let words = [
        1,
        name,
        0,
        0,
        key,
        headers.as_ptr().addr(),
        AT_PHNUM,
        headers.len(),
        AT_PAGESZ,
        start::auxv(6).unwrap(),
        0,
        0,
    ];
    let room = [0; 256 << 10];
    let stack = core::hint::black_box(Stack { room, words });
    // SAFETY: an initial stack as the kernel makes it, with space below it, so that the tables in
    // this frame stay as they are; the program has one thread.
    unsafe { restart(core::hint::black_box(&stack).words.as_ptr()) }
}
