//! Files that processes run code from: who they are, and what is known of how to unwind from their code.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use framehop::FrameAddress;
use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, ReadCache};

use super::place::FileId;
use super::tables::{Cache, Functions, Headers, Reader, Registers, Tables};

/// Functions of all files that were met, some 500 bytes each. Beyond, those of the least used files are forgotten, once there
/// is no batch that is named by them.
const MAX_FUNCTIONS: usize = 3 << 10;
/// Beyond these, at once.
const MAX_FUNCTIONS_OF_BATCH: usize = 4 * MAX_FUNCTIONS;
/// Files that are kept open, for naming what was found in them.
const MAX_FILES: usize = 512;
/// Segments and sections of a sound file are far fewer.
const MAX_SEGMENTS: usize = 64;

/// What one file is: its content, as far as anybody can tell without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// A part of a file that is mapped for running.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    offset: Range<u64>,
    address: u64,
}

#[derive(Debug)]
pub struct CodeFile {
    /// Its path in the process that it was first seen in.
    pub path: String,
    /// Kept open, so that it can be named from after it is deleted.
    pub file: Arc<File>,
    segments: Vec<Segment>,
    /// Once anything in it was met.
    tables: Option<Tables>,
    used: u64,
}

impl CodeFile {
    /// The address in the file's own symbol table of what is at `offset` in it.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| segment.offset.contains(&offset))?;
        (offset - segment.offset.start).checked_add(segment.address)
    }

    /// Those that were met.
    pub fn functions(&self) -> Functions {
        self.tables.as_ref().map(Tables::functions).unwrap_or_default()
    }

    fn met(&self) -> usize {
        self.tables.as_ref().map_or(0, Tables::len)
    }
}

#[derive(Debug, Default)]
pub struct Files {
    known: HashMap<Identity, FileId>,
    files: HashMap<FileId, CodeFile>,
    /// For code that is in none.
    elsewhere: Tables,
    next: u32,
    /// Of all files, that were met.
    functions: usize,
    /// Counts uses.
    clock: u64,
}

impl Files {
    pub fn get(&self, id: FileId) -> Option<&CodeFile> {
        self.files.get(&id)
    }

    /// The file that a process has mapped.
    pub fn open(&mut self, file: File, path: &Path) -> io::Result<FileId> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let identity = Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        self.clock += 1;
        if let Some(id) = self.known.get(&identity) {
            if let Some(known) = self.files.get_mut(id) {
                known.used = self.clock;
            }
            return Ok(*id);
        }
        self.make_room();
        let id = FileId(self.next);
        self.next += 1;
        let segments = segments(&file).unwrap_or_default();
        let path = path.to_string_lossy().into_owned();
        let file = CodeFile { path, file: Arc::new(file), segments, tables: None, used: self.clock };
        self.known.insert(identity, id);
        self.files.insert(id, file);
        Ok(id)
    }

    /// Makes known which function is at an address in a file.
    pub fn meet(&mut self, id: FileId, address: u64) {
        self.with(id, |tables| tables.meet(address));
    }

    /// From a frame to the address that it returns to; `at` is where it is in a file.
    pub fn step(
        &mut self,
        at: Option<(FileId, u64)>,
        frame: FrameAddress,
        registers: &mut Registers,
        cache: &mut Cache,
        read: &mut impl FnMut(u64) -> Result<u64, ()>,
    ) -> Result<Option<u64>, framehop::Error> {
        let in_file = at.and_then(|(id, address)| {
            let frame = match frame {
                FrameAddress::InstructionPointer(_) => FrameAddress::from_instruction_pointer(address),
                FrameAddress::ReturnAddress(_) => FrameAddress::from_return_address(address.checked_add(1)?)?,
            };
            self.with(id, |tables| tables.step(frame, registers, cache, read))
        });
        in_file.unwrap_or_else(|| self.elsewhere.step(frame, registers, cache, read))
    }

    fn with<R>(&mut self, id: FileId, work: impl FnOnce(&mut Tables) -> R) -> Option<R> {
        self.clock += 1;
        let file = self.files.get_mut(&id)?;
        file.used = self.clock;
        let before = file.met();
        let tables = file.tables.get_or_insert_with(|| Tables::open(&file.file));
        let result = work(tables);
        self.functions += file.met() - before;
        if self.functions > MAX_FUNCTIONS_OF_BATCH {
            self.forget();
        }
        Some(result)
    }

    /// Closes the file that was not used for longest, once there are too many.
    fn make_room(&mut self) {
        while self.files.len() >= MAX_FILES {
            let Some(oldest) = self.files.iter().min_by_key(|(_, file)| file.used).map(|(id, _)| *id) else {
                return;
            };
            self.functions -= self.files.remove(&oldest).map_or(0, |file| file.met());
            self.known.retain(|_, id| *id != oldest);
        }
    }

    /// Forgets functions if there are too many. Called after each batch.
    pub fn age(&mut self) {
        if self.functions > MAX_FUNCTIONS {
            self.forget();
        }
    }

    fn forget(&mut self) {
        while self.functions > MAX_FUNCTIONS / 2 {
            let with = self.files.values_mut().filter(|file| file.met() > 0);
            let Some(oldest) = with.min_by_key(|file| file.used) else { return };
            self.functions -= oldest.met();
            oldest.tables = None;
        }
    }
}

fn segments(file: &File) -> Option<Vec<Segment>> {
    let cache = ReadCache::new(Reader::new(file));
    let header = object::elf::FileHeader64::<LittleEndian>::parse(Headers(&cache)).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.program_headers(endian, Headers(&cache)).ok()?;
    let page = rustix::param::page_size() as u64;
    let loaded = headers
        .iter()
        .filter(|header| header.p_type(endian) == PT_LOAD && header.p_flags(endian) & PF_X != 0)
        .take(MAX_SEGMENTS)
        .filter_map(|header| {
            let start = header.p_offset(endian);
            let end = start.checked_add(header.p_filesz(endian))?;
            // Whole pages are mapped; lld begins segments within one.
            let before = start % page;
            let address = header.p_vaddr(endian).checked_sub(before)?;
            Some(Segment { offset: start - before..end, address })
        });
    Some(loaded.collect())
}
