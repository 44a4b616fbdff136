//! Files that processes run code from: who they are, and which of their unwind tables are in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};

use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, ReadCache};

use super::place::FileId;
use super::tables::{Functions, Headers, Reader, Tables};

/// Of all tables that are kept for further processes; the least used go first.
const MAX_TABLES: usize = 24 << 20;
/// Of all tables that processes use, too; further files have none.
const MAX_USED_TABLES: usize = 128 << 20;
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
    tables: Option<Tables>,
    /// Kept without the tables.
    pub functions: Functions,
    used: u64,
}

impl CodeFile {
    /// The address in the file's own symbol table of what is at `offset` in it.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| segment.offset.contains(&offset))?;
        (offset - segment.offset.start).checked_add(segment.address)
    }
}

#[derive(Debug, Default)]
pub struct Files {
    known: HashMap<Identity, FileId>,
    files: HashMap<FileId, CodeFile>,
    /// All tables, while anybody uses them.
    tables: Vec<Weak<[u8]>>,
    next: u32,
    /// Counts uses.
    clock: u64,
}

impl Files {
    pub fn get(&self, id: FileId) -> Option<&CodeFile> {
        self.files.get(&id)
    }

    /// The file that a process has mapped, with its unwind tables.
    pub fn open(&mut self, file: File, path: &Path) -> io::Result<(FileId, Tables)> {
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
        let id = match self.known.get(&identity) {
            Some(id) => *id,
            None => {
                self.make_room();
                let id = FileId(self.next);
                self.next += 1;
                let segments = segments(&file).unwrap_or_default();
                let path = path.to_string_lossy().into_owned();
                let file = CodeFile {
                    path,
                    file: Arc::new(file),
                    segments,
                    tables: None,
                    functions: Functions::default(),
                    used: self.clock,
                };
                self.known.insert(identity, id);
                self.files.insert(id, file);
                id
            }
        };
        let clock = self.clock;
        let Some(known) = self.files.get_mut(&id) else { return Ok((id, Tables::default())) };
        known.used = clock;
        if let Some(tables) = &known.tables {
            return Ok((id, tables.clone()));
        }
        let mut tables = Tables::read(&known.file).unwrap_or_default();
        known.functions = tables.functions().clone();
        self.tables.retain(|table| table.strong_count() > 0);
        let used: usize = self.tables.iter().filter_map(Weak::upgrade).map(|table| table.len()).sum();
        if used + tables.len() > MAX_USED_TABLES {
            tables = Tables::default();
        }
        self.tables.extend(tables.bytes().map(Arc::downgrade));
        known.tables = Some(tables.clone());
        self.drop_tables();
        Ok((id, tables))
    }

    /// Closes the file that was not used for longest, once there are too many.
    fn make_room(&mut self) {
        while self.files.len() >= MAX_FILES {
            let Some(oldest) = self.files.iter().min_by_key(|(_, file)| file.used).map(|(id, _)| *id) else {
                return;
            };
            self.files.remove(&oldest);
            self.known.retain(|_, id| *id != oldest);
        }
    }

    fn drop_tables(&mut self) {
        let size = |file: &CodeFile| file.tables.as_ref().map_or(0, Tables::len);
        let mut all: usize = self.files.values().map(size).sum();
        while all > MAX_TABLES {
            let with = self.files.values_mut().filter(|file| size(file) > 0);
            let Some(oldest) = with.min_by_key(|file| file.used) else { return };
            all -= size(oldest);
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
