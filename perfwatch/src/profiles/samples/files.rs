//! Files that processes run code from: who they are, and their unwind tables.
//!
//! Tables are read, not mapped: a mapped file that its owner truncates would end the server (SIGBUS).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use framehop::ExplicitModuleSectionInfo;
use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSection, ReadCache, ReadCacheOps, ReadRef};

use super::place::FileId;

/// Of one file's unwind tables; those of the largest browsers have 25 MB.
const MAX_TABLE: u64 = 32 << 20;
/// Of all tables together; the least used go first.
const MAX_TABLES: usize = 24 << 20;
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

/// Unwind tables, shared by all processes that have the file mapped.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    eh_frame: Option<Table>,
    eh_frame_hdr: Option<Table>,
    text: Option<Range<u64>>,
    got: Option<Range<u64>>,
}

#[derive(Debug, Clone)]
struct Table {
    addresses: Range<u64>,
    bytes: Arc<[u8]>,
}

impl Tables {
    fn len(&self) -> usize {
        [&self.eh_frame, &self.eh_frame_hdr].into_iter().flatten().map(|table| table.bytes.len()).sum()
    }

    /// As the unwinder wants them.
    pub fn sections(&self) -> ExplicitModuleSectionInfo<Arc<[u8]>> {
        let (frame, index) = (self.eh_frame.as_ref(), self.eh_frame_hdr.as_ref());
        ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: self.text.clone(),
            got_svma: self.got.clone(),
            eh_frame_svma: frame.map(|table| table.addresses.clone()),
            eh_frame: frame.map(|table| Arc::clone(&table.bytes)),
            eh_frame_hdr_svma: index.map(|table| table.addresses.clone()),
            eh_frame_hdr: index.map(|table| Arc::clone(&table.bytes)),
            ..ExplicitModuleSectionInfo::default()
        }
    }
}

#[derive(Debug)]
pub struct CodeFile {
    /// Its path in the process that it was first seen in.
    pub path: String,
    /// Kept open, so that it can be named from after it is deleted.
    pub file: Arc<File>,
    segments: Vec<Segment>,
    tables: Option<Tables>,
    used: u64,
}

impl CodeFile {
    /// The address in the file's own symbol table of what is at `offset` in it.
    pub fn address(&self, offset: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| segment.offset.contains(&offset))?;
        Some(offset - segment.offset.start + segment.address)
    }
}

#[derive(Debug, Default)]
pub struct Files {
    known: HashMap<Identity, FileId>,
    files: HashMap<FileId, CodeFile>,
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
                let file = CodeFile { path, file: Arc::new(file), segments, tables: None, used: self.clock };
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
        let tables = tables(&known.file).unwrap_or_default();
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

/// Reads a file where the parser asks for it.
struct Reader<'a>(&'a File, u64);

impl ReadCacheOps for Reader<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        self.0.metadata().map(|metadata| metadata.len()).map_err(|_| ())
    }

    fn seek(&mut self, position: u64) -> Result<u64, ()> {
        self.1 = position;
        Ok(position)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let read = self.0.read_at(buffer, self.1).map_err(|_| ())?;
        self.1 += read as u64;
        Ok(read)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.0.read_exact_at(buffer, self.1).map_err(|_| ())?;
        self.1 += buffer.len() as u64;
        Ok(())
    }
}

fn segments(file: &File) -> Option<Vec<Segment>> {
    let cache = ReadCache::new(Reader(file, 0));
    let header = object::elf::FileHeader64::<LittleEndian>::parse(&cache).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.program_headers(endian, &cache).ok()?;
    let loaded = headers
        .iter()
        .filter(|header| header.p_type(endian) == PT_LOAD && header.p_flags(endian) & PF_X != 0)
        .take(MAX_SEGMENTS)
        .filter_map(|header| {
            let start = header.p_offset(endian);
            let end = start.checked_add(header.p_filesz(endian))?;
            Some(Segment { offset: start..end, address: header.p_vaddr(endian) })
        });
    Some(loaded.collect())
}

fn tables(file: &File) -> Option<Tables> {
    let cache = ReadCache::new(Reader(file, 0));
    let elf = ElfFile64::<LittleEndian, _>::parse(&cache).ok()?;
    let range = |name: &str| {
        let section = elf.section_by_name(name)?;
        Some(section.address()..section.address().checked_add(section.size())?)
    };
    let table = |name: &str| {
        let section = elf.section_by_name(name)?;
        let (offset, size) = section.file_range()?;
        let addresses = section.address()..section.address().checked_add(size)?;
        if size > MAX_TABLE || size > (&cache).len().ok()? {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(Table { addresses, bytes: bytes.into() })
    };
    Some(Tables {
        eh_frame: table(".eh_frame"),
        eh_frame_hdr: table(".eh_frame_hdr"),
        text: range(".text"),
        got: range(".got"),
    })
}
