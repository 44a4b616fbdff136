//! Unwind tables of a file, which somebody may have written to do harm.
//!
//! They are read, not mapped: a mapped file that its owner truncates would end the server (SIGBUS). The unwinder trusts
//! them: an expression that jumps back would keep it for ever, and an entry of megabytes for seconds per frame. Only
//! what has neither is handed to it.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use framehop::ExplicitModuleSectionInfo;
use gimli::{
    BaseAddresses, CallFrameInstruction, CallFrameInstructionIter, CieOrFde, EhFrame, EhFrameHdr,
    EndianSlice, Operation, UnwindExpression, UnwindSection,
};
use object::read::elf::ElfFile64;
use object::{LittleEndian, Object, ObjectSection, ReadCache, ReadCacheOps, ReadRef};

/// Of one table; those of the largest browsers have 25 MB.
const MAX_TABLE: u64 = 32 << 20;
/// Of the headers and names of sections; programs have some kB.
const MAX_HEADERS: u64 = 4 << 20;
/// Of the instructions for one function, which are followed for each of its frames.
const MAX_ENTRY: usize = 64 << 10;

type Slice<'a> = EndianSlice<'a, gimli::LittleEndian>;

/// Unwind tables, shared by all processes that have the file mapped.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    eh_frame: Option<Table>,
    eh_frame_hdr: Option<Table>,
    text: Option<Range<u64>>,
    got: Option<Range<u64>>,
    functions: Functions,
}

/// Where functions begin and how long they are, by address: unwind tables have that of stripped programs too. Shared.
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

#[derive(Debug, Clone)]
struct Table {
    addresses: Range<u64>,
    bytes: Arc<[u8]>,
}

impl Tables {
    pub fn read(file: &File) -> Option<Self> {
        let cache = ReadCache::new(Reader::new(file));
        let elf = ElfFile64::<LittleEndian, _>::parse(Headers(&cache)).ok()?;
        let range = |name: &str| {
            let section = elf.section_by_name(name)?;
            Some(section.address()..section.address().checked_add(section.size())?)
        };
        let length = file.metadata().ok()?.len();
        let table = |name: &str| {
            let section = elf.section_by_name(name)?;
            let (offset, size) = section.file_range()?;
            let addresses = section.address()..section.address().checked_add(size)?;
            if size > MAX_TABLE || size > length {
                return None;
            }
            let mut bytes = vec![0; usize::try_from(size).ok()?];
            file.read_exact_at(&mut bytes, offset).ok()?;
            Some(Table { addresses, bytes: bytes.into() })
        };
        let tables = Self {
            eh_frame: table(".eh_frame"),
            eh_frame_hdr: table(".eh_frame_hdr"),
            text: range(".text"),
            got: range(".got"),
            functions: Functions::default(),
        };
        tables.checked()
    }

    /// Without what would keep the unwinder.
    fn checked(mut self) -> Option<Self> {
        let start = |range: Option<&Range<u64>>| range.map(|range| range.start).unwrap_or_default();
        let frame = self.eh_frame.as_ref()?;
        let index = self.eh_frame_hdr.as_ref();
        // As the unwinder has them.
        let bases = BaseAddresses::default()
            .set_eh_frame(frame.addresses.start)
            .set_eh_frame_hdr(start(index.map(|table| &table.addresses)))
            .set_text(start(self.text.as_ref()))
            .set_got(start(self.got.as_ref()));
        let (entries, functions) = entries(&frame.bytes, &bases)?;
        if !index.is_some_and(|index| points_to(&index.bytes, &bases, &entries)) {
            self.eh_frame_hdr = None;
        }
        self.functions = functions;
        Some(self)
    }

    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    pub fn len(&self) -> usize {
        self.bytes().map(|bytes| bytes.len()).sum()
    }

    pub fn bytes(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        [&self.eh_frame, &self.eh_frame_hdr].into_iter().flatten().map(|table| &table.bytes)
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

/// Where entries for functions begin, sorted, and the functions; none if one of them is not to be followed.
fn entries(bytes: &[u8], bases: &BaseAddresses) -> Option<(Vec<usize>, Functions)> {
    let mut frame = EhFrame::new(bytes, gimli::LittleEndian);
    frame.set_address_size(8);
    let (mut found, mut functions, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    // What many entries share may be long, and anything may be shared.
    let mut left = 2 * bytes.len();
    let mut entries = frame.entries(bases);
    // The unwinder cannot read past an error either.
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        found.push(partial.offset());
        let Ok(entry) = partial.parse(EhFrame::cie_from_offset) else { continue };
        let cie = entry.cie();
        let is_new = known.insert(cie.offset());
        left = left.checked_sub(entry.entry_len() + if is_new { cie.entry_len() } else { 0 })?;
        if entry.entry_len().max(cie.entry_len()) > MAX_ENTRY
            || is_new && !is_straight(&frame, cie.encoding(), cie.instructions(&frame, bases))
            || !is_straight(&frame, cie.encoding(), entry.instructions(&frame, bases))
        {
            return None;
        }
        // Larger files than 4 GiB are not built.
        if let (Ok(start), Ok(length)) = (entry.initial_address().try_into(), entry.len().try_into()) {
            functions.push((start, length));
        }
    }
    functions.sort_unstable();
    Some((found, Functions(functions.into())))
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

/// Whether an index leads to these entries only.
fn points_to(index: &[u8], bases: &BaseAddresses, entries: &[usize]) -> bool {
    let Ok(index) = EhFrameHdr::new(index, gimli::LittleEndian).parse(bases, 8) else { return false };
    let (Some(table), Ok(frame)) = (index.table(), index.eh_frame_ptr().direct()) else { return false };
    let mut rows = table.iter(bases);
    loop {
        match rows.next() {
            Ok(Some((_, to))) => {
                let offset = to.direct().ok().and_then(|to| usize::try_from(to.checked_sub(frame)?).ok());
                if offset.is_none_or(|offset| entries.binary_search(&offset).is_err()) {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
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
