//! Fuzz targets of what unwinds: whatever a program's file says, it is refused or followed, without a panic, in bounded
//! time and memory.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection, ObjectSegment};
use perfwatch_common::profile::{PAGE, Registers};
use proptest::prelude::*;

use super::files::Files;
use super::place::Ended;
use super::process::{MAX_FRAMES, Process, Top};
use super::tables::Cache;
use crate::mutation::{Mutation, mutate, mutations};

const PID: u32 = 7;
/// Where the program is in the memory of its process.
const BASE: u64 = 0x5555_0000_0000;
const STACK: u64 = 0x7ffc_0000_0000;

/// A `/proc` with one process, which has mapped `program`.
fn proc_of(dir: &Path, program: &[u8]) {
    let folder = dir.join(PID.to_string());
    fs::create_dir_all(folder.join("root")).unwrap();
    fs::write(folder.join("root/program"), program).unwrap();
    map(dir);
}

fn map(dir: &Path) {
    let folder = dir.join(PID.to_string());
    let inode = fs::metadata(folder.join("root/program")).unwrap().ino();
    let code = code();
    let (from, to) = (BASE + code.start, BASE + code.end);
    let line = format!("{from:x}-{to:x} r-xp {:08x} fe:00 {inode} /program\n", code.start);
    fs::write(folder.join("maps"), line).unwrap();
    fs::write(folder.join("stat"), format!("{PID} (program) R {}\n", "0 ".repeat(49))).unwrap();
}

/// Where code is in the program that all begin as, at the same offset and address.
fn code() -> Range<u64> {
    let program = fs::read("/bin/true").unwrap();
    let elf = ElfFile64::<LittleEndian, _>::parse(&*program).unwrap();
    let text = elf.section_by_name(".text").unwrap().address();
    let segment =
        elf.segments().find(|segment| segment.address() <= text && text - segment.address() < segment.size());
    let segment = segment.unwrap();
    assert_eq!(segment.file_range().0, segment.address());
    segment.address()..segment.address() + segment.size()
}

fn section(program: &[u8], name: &str) -> Option<Range<usize>> {
    let elf = ElfFile64::<LittleEndian, _>::parse(program).ok()?;
    let (offset, size) = elf.section_by_name(name)?.file_range()?;
    Some(offset as usize..(offset + size) as usize)
}

/// Unwinds from many places in it, with a stack that is full of addresses in it.
fn unwind(dir: &Path) -> Vec<(usize, Ended)> {
    let mut files = Files::default();
    let Ok(process) = Process::read(dir, PID, &mut files) else { return Vec::new() };
    let mut cache = Cache::default();
    let (start, length) = (BASE + code().start, code().end - code().start);
    let stack: Vec<u8> = (0..2 * PAGE as u64)
        .step_by(8)
        .flat_map(|n| if n % 24 == 0 { STACK + n } else { start + n * 977 % length }.to_ne_bytes())
        .collect();
    let from = (0..length).step_by(0x91).map(|offset| Registers {
        ip: start + offset,
        sp: STACK + offset % 512 * 8,
        fp: STACK + offset % 1024 * 8,
        lr: start + offset / 2,
    });
    let unwound = from.map(|registers| {
        let (frames, ended) =
            process.unwind(&registers, Top::new(registers.sp, &stack), &mut files, &mut cache);
        for frame in &frames {
            let _ = process.place(*frame, &files);
        }
        (frames.len(), ended)
    });
    unwound.collect()
}

/// Mutates a part of a file, whose length stays.
fn mutate_in(program: &mut [u8], range: Range<usize>, how: &[Mutation]) {
    let mut part = program[range.clone()].to_vec();
    mutate(&mut part, how);
    part.resize(range.len(), 0);
    program[range].copy_from_slice(&part);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn mutated_programs_are_refused_or_unwound(
        header in mutations(),
        whole in mutations(),
        frame in mutations(),
        index in mutations(),
        parts in 1_u8..16,
    ) {
        let mut program = fs::read("/bin/true").unwrap();
        if parts & 1 != 0 {
            mutate_in(&mut program, 0..0x400, &header);
        }
        for (name, how, bit) in [(".eh_frame", &frame, 2), (".eh_frame_hdr", &index, 4)] {
            if parts & bit != 0 && let Some(range) = section(&program, name) {
                mutate_in(&mut program, range, how);
            }
        }
        if parts & 8 != 0 {
            mutate(&mut program, &whole);
        }
        let dir = tempfile::tempdir().unwrap();
        proc_of(dir.path(), &program);
        for (frames, _) in unwind(dir.path()) {
            prop_assert!(frames <= MAX_FRAMES);
        }
    }
}

#[test]
fn sound_programs_are_unwound_by_their_tables() {
    let dir = tempfile::tempdir().unwrap();
    proc_of(dir.path(), &fs::read("/bin/true").unwrap());
    let with = unwind(dir.path());
    assert!(with.iter().any(|(frames, _)| *frames > 3), "{with:?}");
    let mut program = fs::read("/bin/true").unwrap();
    let range = section(&program, ".eh_frame").unwrap();
    program[range].fill(0);
    proc_of(dir.path(), &program);
    assert_ne!(unwind(dir.path()), with);
}

/// The unwinder alone would follow it for ever.
#[test]
fn an_expression_that_jumps_back_is_not_followed() {
    const EXPRESSION: u8 = 0x10;
    const SKIP: u8 = 0x2f;
    /// Of an entry, before its instructions.
    const HEAD: usize = 17;
    let mut program = fs::read("/bin/true").unwrap();
    let range = section(&program, ".eh_frame").unwrap();
    let number = |at: usize| u32::from_le_bytes(program[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut longest) = (range.start, 0..0);
    while at < range.end && number(at) > 0 {
        let entry = at..at + 4 + number(at);
        at = entry.end;
        if number(entry.start + 4) > 0 && entry.len() > longest.len() {
            longest = entry;
        }
    }
    // Where the return address is: in a loop.
    let mut jumping = vec![EXPRESSION, 16, 3, SKIP, 0xfd, 0xff];
    jumping.resize(longest.len() - HEAD, 0);
    program[longest.start + HEAD..longest.end].copy_from_slice(&jumping);
    let dir = tempfile::tempdir().unwrap();
    proc_of(dir.path(), &program);
    let unwound = unwind(dir.path());
    assert!(!unwound.is_empty() && unwound.iter().all(|(_, ended)| *ended != Ended::Complete), "{unwound:?}");
}

#[test]
fn headers_of_terabytes_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = fs::read("/bin/true").unwrap();
    // So many sections that their number is in the first of them, which is where zeros are.
    let sections = 1_u64 << 20;
    program[0x28..0x30].copy_from_slice(&sections.to_le_bytes());
    program[0x3c..0x3e].copy_from_slice(&[0, 0]);
    proc_of(dir.path(), &program);
    let file = fs::File::options().write(true).open(dir.path().join(format!("{PID}/root/program"))).unwrap();
    file.set_len(1 << 40).unwrap();
    let count = 1_u64 << 30;
    std::os::unix::fs::FileExt::write_all_at(&file, &count.to_le_bytes(), sections + 32).unwrap();
    unwind(dir.path());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    proc_of(dir.path(), b"");
    let program = dir.path().join(format!("{PID}/root/program"));
    fs::remove_file(&program).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &program,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    map(dir.path());
    let mut files = Files::default();
    let process = Process::read(dir.path(), PID, &mut files).unwrap();
    assert_eq!(process.place(BASE + code().start, &files), super::place::Place::Unknown);
}
