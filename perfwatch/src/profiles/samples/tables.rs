//! How to get from a frame to its caller in the code of one file: by its unwind tables.
//!
//! They are large, and of few functions anything is ever seen: a function's entry is read when it is first met. It is
//! read, not mapped: a mapped file that its owner truncates would end the server (SIGBUS). Somebody may have written it
//! to do harm, and the unwinder trusts it: an expression that jumps back would keep it for ever, and an entry of
//! megabytes for seconds per frame. Only what has neither is handed to it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use framehop::{
    Error, ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module, Unwinder, UnwinderNative,
};
use gimli::{
    BaseAddresses, CallFrameInstruction, CallFrameInstructionIter, CieOrFde, EhFrame, EndianSlice, Operation,
    UnwindExpression, UnwindSection,
};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection, ReadCache, ReadCacheOps, ReadRef};

/// Of the headers and names of sections; programs have some kB.
const MAX_HEADERS: u64 = 4 << 20;
/// Of the instructions for one function, which are followed for each of its frames.
const MAX_ENTRY: usize = 64 << 10;
/// Bytes of most entries.
const USUAL_ENTRY: usize = 256;
/// Of a table without an index, which is read to make one; linkers have made it for twenty years.
const MAX_WITHOUT_INDEX: u64 = 8 << 20;
/// Rows of an index that are read at once.
const ROWS: u32 = 256;

type Slice<'a> = EndianSlice<'a, gimli::LittleEndian>;
type Native = UnwinderNative<Arc<[u8]>, MayAllocateDuringUnwind>;
pub type Cache = <Native as Unwinder>::Cache;
pub type Registers = <Native as Unwinder>::UnwindRegs;

/// Where functions begin and how long they are, by address: unwind tables have that of stripped programs too.
#[derive(Debug, Clone, Default)]
pub struct Functions(Arc<[(u32, u32)]>);

impl Functions {
    /// Where the function begins that an address belongs to.
    pub fn start(&self, address: u64) -> Option<u64> {
        let address = u32::try_from(address).ok()?;
        let after = self.0.partition_point(|(start, _)| *start <= address);
        let (start, length) = self.0.get(after.checked_sub(1)?)?;
        (address - start < *length).then_some(u64::from(*start))
    }
}

/// The functions of a file that were met, and how to unwind from them. Addresses are those of its symbol table. The
/// default is that of no file: there, frame pointers are followed.
#[derive(Default)]
pub struct Tables {
    source: Option<Source>,
    /// By where they begin.
    met: BTreeMap<u32, Met>,
    /// Has a module for each of them.
    unwinder: Native,
}

#[derive(Debug)]
struct Met {
    /// Where the next one begins.
    end: u32,
    /// None if its entry can't be followed.
    length: Option<u32>,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("source", &self.source).field("met", &self.met.len()).finish()
    }
}

impl Tables {
    pub fn open(file: &Arc<File>) -> Self {
        Self { source: Source::open(file), ..Self::default() }
    }

    /// How many functions were met.
    pub fn len(&self) -> usize {
        self.met.len()
    }

    pub fn functions(&self) -> Functions {
        Functions(self.met.iter().filter_map(|(start, met)| Some((*start, met.length?))).collect())
    }

    /// Reads the entry of the function at an address, unless it was met before.
    pub fn meet(&mut self, address: u64) {
        let (Ok(address), Some(source)) = (u32::try_from(address), &self.source) else { return };
        let before = self.met.range(..=address).next_back();
        if before.is_some_and(|(_, met)| address < met.end) {
            return;
        }
        let Some(row) = source.row(address) else { return };
        let entry = source.entry(row.entry);
        self.met.insert(row.start, Met { end: row.end, length: entry.as_ref().map(|entry| entry.length) });
        let sections = entry.map(|entry| source.sections(entry)).unwrap_or_default();
        let range = u64::from(row.start)..u64::from(row.end);
        self.unwinder.add_module(Module::new(String::new(), range, 0, sections));
    }

    /// From a frame to the address that it returns to.
    pub fn step(
        &mut self,
        frame: FrameAddress,
        registers: &mut Registers,
        cache: &mut Cache,
        read: &mut impl FnMut(u64) -> Result<u64, ()>,
    ) -> Result<Option<u64>, Error> {
        self.meet(frame.address_for_lookup());
        self.unwinder.unwind_frame(frame, registers, cache, read)
    }
}

/// Where the tables are.
#[derive(Debug)]
struct Source {
    file: Arc<File>,
    frame: Section,
    index: Index,
    text: Option<Range<u64>>,
    got: Option<Range<u64>>,
}

#[derive(Debug)]
struct Section {
    addresses: Range<u64>,
    offset: u64,
}

impl Section {
    fn size(&self) -> u64 {
        self.addresses.end - self.addresses.start
    }
}

/// Where functions begin, sorted, and their entries.
#[derive(Debug)]
enum Index {
    /// That of the linker.
    InFile {
        section: Section,
        rows: u32,
    },
    Made(Vec<(u32, u64)>),
}

/// The entry for a function, from where it begins to where the next one does.
struct Row {
    start: u32,
    end: u32,
    /// Its offset in the table.
    entry: u64,
}

/// A table of one function: what it shares with others, and what is its own.
struct Entry {
    table: Arc<[u8]>,
    address: u64,
    length: u32,
}

impl Source {
    fn open(file: &Arc<File>) -> Option<Self> {
        let cache = ReadCache::new(Reader::new(file));
        let elf = ElfFile64::<LittleEndian, _>::parse(Headers(&cache)).ok()?;
        let addresses = |name: &str| {
            let section = elf.section_by_name(name)?;
            Some(section.address()..section.address().checked_add(section.size())?)
        };
        let section = |name: &str| {
            let (offset, size) = elf.section_by_name(name)?.file_range()?;
            let start = addresses(name)?.start;
            Some(Section { addresses: start..start.checked_add(size)?, offset })
        };
        let (frame, text, got) = (section(".eh_frame")?, addresses(".text"), addresses(".got"));
        let index = section(".eh_frame_hdr").and_then(|section| Index::of(section, file));
        let mut source = Self { file: Arc::clone(file), frame, index: Index::Made(Vec::new()), text, got };
        source.index = index.or_else(|| source.make_index())?;
        Some(source)
    }

    fn bases(&self, frame: u64) -> BaseAddresses {
        let start = |range: &Option<Range<u64>>| range.as_ref().map_or(0, |range| range.start);
        BaseAddresses::default().set_eh_frame(frame).set_text(start(&self.text)).set_got(start(&self.got))
    }

    fn make_index(&self) -> Option<Index> {
        let size = self.frame.size().min(self.file.metadata().ok()?.len());
        if size > MAX_WITHOUT_INDEX {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.file.read_exact_at(&mut bytes, self.frame.offset).ok()?;
        let (frame, bases) = (eh_frame(&bytes), self.bases(self.frame.addresses.start));
        // Each is parsed once, and those of an entry are before it.
        let (mut shared, mut rows) = (HashMap::new(), Vec::new());
        let mut entries = frame.entries(&bases);
        while let Ok(Some(entry)) = entries.next() {
            match entry {
                CieOrFde::Cie(cie) => drop(shared.insert(cie.offset(), cie)),
                CieOrFde::Fde(partial) => {
                    let offset = partial.offset() as u64;
                    let cie = |_: &_, _: &_, at: gimli::EhFrameOffset| {
                        shared.get(&at.0).cloned().ok_or(gimli::Error::NotCieId(at.0 as u64))
                    };
                    let start =
                        partial.parse(cie).ok().and_then(|entry| entry.initial_address().try_into().ok());
                    rows.extend(start.map(|start: u32| (start, offset)));
                }
            }
        }
        rows.sort_unstable();
        Some(Index::Made(rows))
    }

    /// Rows of the index, in order.
    fn rows(&self, which: Range<u32>) -> Option<Vec<(u32, u64)>> {
        let section = match &self.index {
            Index::Made(rows) => return Some(rows.get(which.start as usize..which.end as usize)?.to_vec()),
            Index::InFile { section, .. } => section,
        };
        let mut bytes = vec![0; which.len() * Index::ROW];
        let offset = section.offset + Index::HEAD as u64 + u64::from(which.start) * Index::ROW as u64;
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        let row = |row: &[u8]| {
            // Relative to the index.
            let of = |at: usize| {
                let offset = number(row, at)?.cast_signed();
                Some(section.addresses.start.wrapping_add_signed(offset.into()))
            };
            let (start, entry) = (of(0)?, of(4)?.checked_sub(self.frame.addresses.start)?);
            Some((u32::try_from(start).ok()?, entry))
        };
        bytes.chunks_exact(Index::ROW).map(row).collect()
    }

    /// What the index says of an address.
    fn row(&self, address: u32) -> Option<Row> {
        let rows = match &self.index {
            Index::Made(rows) => u32::try_from(rows.len()).ok()?,
            Index::InFile { rows, .. } => *rows,
        };
        // The first is not behind it, the second is.
        let (mut low, mut high) = (0, rows);
        while high - low > ROWS {
            let middle = low + (high - low) / 2;
            if self.rows(middle..middle + 1)?.first()?.0 <= address {
                low = middle;
            } else {
                high = middle;
            }
        }
        let near = self.rows(low..high.saturating_add(1).min(rows))?;
        let after = near.partition_point(|(start, _)| *start <= address);
        let (start, entry) = *near.get(after.checked_sub(1)?)?;
        let end = near.get(after).map_or(u32::MAX, |(start, _)| *start);
        // Unless it is not sorted.
        (start..end).contains(&address).then_some(Row { start, end, entry })
    }

    /// A function's entry, if it can be followed.
    fn entry(&self, offset: u64) -> Option<Entry> {
        let own = self.read(offset)?;
        // How far it is back to what it shares with others.
        let back = number(&own, 4).filter(|back| *back > 0)?;
        let mut table = self.read((offset + 4).checked_sub(back.into())?)?;
        let at = table.len();
        table.extend(own);
        table[at + 4..at + 8].copy_from_slice(&u32::try_from(at + 4).ok()?.to_le_bytes());
        let address = self.frame.addresses.start.checked_add(offset)?.checked_sub(at as u64)?;
        let (frame, bases) = (eh_frame(&table), self.bases(address));
        let entry = frame.fde_from_offset(&bases, at.into(), EhFrame::cie_from_offset).ok()?;
        let (cie, length) = (entry.cie(), entry.len().try_into().ok()?);
        let is_sound = is_straight(&frame, cie.encoding(), cie.instructions(&frame, &bases))
            && is_straight(&frame, cie.encoding(), entry.instructions(&frame, &bases));
        is_sound.then(|| Entry { table: table.as_slice().into(), address, length })
    }

    /// An entry of the table as it is in the file.
    fn read(&self, offset: u64) -> Option<Vec<u8>> {
        let left = usize::try_from(self.frame.size().checked_sub(offset)?).ok()?;
        let mut bytes = vec![0; USUAL_ENTRY.min(left)];
        let at = self.frame.offset.checked_add(offset)?;
        self.file.read_exact_at(&mut bytes, at).ok()?;
        // More than that, or the mark of a length of 64 bits, is not what compilers write.
        let length = 4 + usize::try_from(number(&bytes, 0)?).ok()?;
        if !(12..=MAX_ENTRY.min(left)).contains(&length) {
            return None;
        }
        let read = bytes.len().min(length);
        bytes.resize(length, 0);
        self.file.read_exact_at(&mut bytes[read..], at + read as u64).ok()?;
        Some(bytes)
    }

    /// As the unwinder wants it.
    fn sections(&self, entry: Entry) -> ExplicitModuleSectionInfo<Arc<[u8]>> {
        ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: self.text.clone(),
            got_svma: self.got.clone(),
            eh_frame_svma: Some(entry.address..entry.address + entry.table.len() as u64),
            eh_frame: Some(entry.table),
            ..ExplicitModuleSectionInfo::default()
        }
    }
}

impl Index {
    /// Bytes before the rows: what follows, and how it is written.
    const HEAD: usize = 12;
    const ROW: usize = 8;
    /// Version 1; numbers of 32 bits: relative to where they are, as they are, and relative to the index.
    const USUAL: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

    fn of(section: Section, file: &File) -> Option<Self> {
        let mut head = [0; Self::HEAD];
        file.read_exact_at(&mut head, section.offset).ok()?;
        let rows = number(&head, 8)?;
        let size = Self::HEAD as u64 + u64::from(rows) * Self::ROW as u64;
        (head.starts_with(&Self::USUAL) && size <= section.size()).then_some(Self::InFile { section, rows })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn eh_frame(bytes: &[u8]) -> EhFrame<Slice<'_>> {
    let mut frame = EhFrame::new(bytes, gimli::LittleEndian);
    frame.set_address_size(8);
    frame
}

/// Whether no expression jumps; compilers write none that does.
fn is_straight<'a>(
    frame: &EhFrame<Slice<'a>>,
    encoding: gimli::Encoding,
    mut instructions: CallFrameInstructionIter<'_, Slice<'a>>,
) -> bool {
    use CallFrameInstruction::{DefCfaExpression, Expression, ValExpression};
    while let Ok(Some(instruction)) = instructions.next() {
        if let DefCfaExpression { expression }
        | Expression { expression, .. }
        | ValExpression { expression, .. } = instruction
            && jumps(frame, encoding, expression)
        {
            return false;
        }
    }
    true
}

fn jumps(frame: &EhFrame<Slice<'_>>, encoding: gimli::Encoding, expression: UnwindExpression<usize>) -> bool {
    let Ok(expression) = expression.get(frame) else { return false };
    let mut operations = expression.operations(encoding);
    while let Ok(Some(operation)) = operations.next() {
        if matches!(operation, Operation::Skip { .. } | Operation::Bra { .. }) {
            return true;
        }
    }
    false
}

/// Reads a file where the parser asks for it, as much as a sound file needs.
pub struct Reader<'a> {
    file: &'a File,
    position: u64,
    left: u64,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a File) -> Self {
        Self { file, position: 0, left: 2 * MAX_HEADERS }
    }

    fn advance(&mut self, read: usize) -> Result<(), ()> {
        self.position += read as u64;
        self.left = self.left.checked_sub(read as u64).ok_or(())?;
        Ok(())
    }
}

impl ReadCacheOps for Reader<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|_| ())
    }

    fn seek(&mut self, position: u64) -> Result<u64, ()> {
        self.position = position;
        Ok(position)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let read = self.file.read_at(buffer, self.position).map_err(|_| ())?;
        self.advance(read)?;
        Ok(read)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.file.read_exact_at(buffer, self.position).map_err(|_| ())?;
        self.advance(buffer.len())
    }
}

/// Refuses to take in what no header is as large as: a sparse file may have terabytes of them.
#[derive(Clone, Copy)]
pub struct Headers<'a, 'file>(pub &'a ReadCache<Reader<'file>>);

impl<'a> ReadRef<'a> for Headers<'a, '_> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size > MAX_HEADERS { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library of this process.
    fn library() -> Arc<File> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = maps.split_whitespace().find(|path| path.ends_with("/libc.so.6")).unwrap();
        Arc::new(File::open(path).unwrap())
    }

    #[test]
    fn an_index_is_made_as_the_linker_makes_it() {
        let mut source = Source::open(&library()).unwrap();
        let Index::InFile { rows, .. } = source.index else { panic!("{:?}", source.index) };
        let of_linker = source.rows(0..rows).unwrap();
        assert!(rows > 4 * ROWS, "{rows}");
        source.index = source.make_index().unwrap();
        assert_eq!(source.rows(0..rows).unwrap(), of_linker);
    }

    #[test]
    fn every_function_is_found_by_each_of_its_addresses() {
        let source = Source::open(&library()).unwrap();
        let Index::InFile { rows, .. } = source.index else { panic!("{:?}", source.index) };
        for (start, entry) in source.rows(0..rows).unwrap() {
            let length = source.entry(entry).unwrap().length;
            for address in [start, start + length - 1] {
                let row = source.row(address).unwrap();
                assert_eq!((row.start, row.entry), (start, entry), "{address:#x}");
            }
        }
        assert!(source.row(0).is_none());
    }

    #[test]
    fn what_was_met_is_remembered_and_named_by_where_it_begins() {
        let mut tables = Tables::open(&library());
        let (start, entry) = tables.source.as_ref().unwrap().rows(100..101).unwrap()[0];
        let length = tables.source.as_ref().unwrap().entry(entry).unwrap().length;
        tables.meet(u64::from(start + length / 2));
        tables.meet(u64::from(start));
        assert_eq!(tables.len(), 1);
        let functions = tables.functions();
        assert_eq!(functions.start(u64::from(start + length - 1)), Some(u64::from(start)));
        assert_eq!(functions.start(u64::from(start + length)), None);
    }
}
