//! A process as the unwinder sees it: what it has mapped where, and how to get from a frame to its caller.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framehop::FrameAddress;
use perfwatch_common::profile::{PAGE, Registers};

use super::files::Files;
use super::place::{Ended, FileId, Image, Place};
use super::tables::Cache;

/// Frames of one stack; deeper recursion is cut.
pub const MAX_FRAMES: usize = 512;
/// Mappings of one process that are looked at; databases have thousands, of which few have code.
const MAX_MAPPINGS: usize = 4096;
/// Bytes of their list, which has paths of any length.
const MAX_MAPS: u64 = 4 << 20;
/// Mappings are read again at most so often, when code is found outside them.
const READ_AGAIN: Duration = Duration::from_millis(500);
/// What a process is, is looked up so often.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Code {
    File {
        id: FileId,
        offset: u64,
    },
    Generated,
    /// Of a file that cannot be opened.
    Unreadable,
}

#[derive(Debug)]
struct Mapping {
    range: Range<u64>,
    code: Code,
}

pub struct Process {
    /// `/proc/[pid]/stat`, which fails once it is gone, even if its number is used again.
    stat: File,
    image: Image,
    /// That of its first thread.
    pub name: Arc<str>,
    looked_at: Instant,
    /// Sorted by address.
    mappings: Vec<Mapping>,
    read_at: Instant,
    pub used: Instant,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("image", &self.image)
            .field("mappings", &self.mappings)
            .finish_non_exhaustive()
    }
}

/// The part of a user stack that a sample has.
#[derive(Debug, Clone, Copy)]
pub struct Top<'a> {
    /// The address of its first byte: a page's.
    pub from: u64,
    pub bytes: &'a [u8],
}

impl<'a> Top<'a> {
    /// From the page that the stack pointer points into.
    pub fn new(sp: u64, bytes: &'a [u8]) -> Self {
        Self { from: sp & !(PAGE as u64 - 1), bytes }
    }

    fn word(&self, address: u64) -> Result<u64, ()> {
        let at = usize::try_from(address.checked_sub(self.from).ok_or(())?).map_err(|_| ())?;
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(())?;
        Ok(u64::from_ne_bytes(*bytes))
    }

    fn end(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }
}

impl Process {
    /// Reads what a process has mapped.
    pub fn read(proc: &Path, pid: u32, files: &mut Files) -> io::Result<Self> {
        let now = Instant::now();
        let stat = open_stat(proc, pid)?;
        let (image, name) = look(&stat, pid)?;
        let mut process =
            Self { stat, image, name, looked_at: now, mappings: Vec::new(), read_at: now, used: now };
        process.map(proc, files)?;
        Ok(process)
    }

    /// Whether the number is still that of the same process with the same program. One that is gone is what it was.
    pub fn is_same(&mut self, proc: &Path, name: Option<&str>) -> bool {
        if self.looked_at.elapsed() < LOOK_AGAIN && name.is_none_or(|name| name == &*self.name) {
            return true;
        }
        self.looked_at = Instant::now();
        let pid = self.image.pid;
        let looked = look(&self.stat, pid).or_else(|_| {
            self.stat = open_stat(proc, pid)?;
            look(&self.stat, pid)
        });
        let Ok((image, name)) = looked else { return true };
        self.name = name;
        self.image == image
    }

    /// Reads again what it has mapped if an address is outside of what is known.
    pub fn follow(&mut self, proc: &Path, address: u64, files: &mut Files) {
        if self.find(address).is_some() || self.read_at.elapsed() < READ_AGAIN {
            return;
        }
        self.read_at = Instant::now();
        // What was known stays if it is gone.
        let _ = self.map(proc, files);
    }

    fn map(&mut self, proc: &Path, files: &mut Files) -> io::Result<()> {
        let folder = proc.join(self.image.pid.to_string());
        let mut text = Vec::new();
        File::open(folder.join("maps"))?.take(MAX_MAPS).read_to_end(&mut text)?;
        let mut mappings = Vec::new();
        for line in text.split(|byte| *byte == b'\n').filter_map(Line::parse).take(MAX_MAPPINGS) {
            if !line.is_code {
                continue;
            }
            let code = match line.path {
                Some(path) => match open(&folder, &line, path).and_then(|file| files.open(file, path).ok()) {
                    Some(id) => Code::File { id, offset: line.offset },
                    None => Code::Unreadable,
                },
                None => Code::Generated,
            };
            mappings.push(Mapping { range: line.range, code });
        }
        if mappings.is_empty() {
            // A thread of the kernel, or a process that is exiting.
            return Err(io::ErrorKind::NotFound.into());
        }
        mappings.sort_unstable_by_key(|mapping| mapping.range.start);
        self.mappings = mappings;
        Ok(())
    }

    fn find(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|mapping| mapping.range.start <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        mapping.range.contains(&address).then_some(mapping)
    }

    /// What an address is, whatever becomes of the process.
    pub fn place(&self, address: u64, files: &Files) -> Place {
        match self.find(address).map(|mapping| &mapping.code) {
            Some(Code::File { .. }) => {
                self.in_file(address, files).map_or(Place::Unknown, |(id, at)| Place::File(id, at))
            }
            Some(Code::Generated) => Place::Generated { by: self.image, address },
            Some(Code::Unreadable) | None => Place::Unknown,
        }
    }

    /// In which file an address is, and its address there.
    fn in_file(&self, address: u64, files: &Files) -> Option<(FileId, u64)> {
        let mapping = self.find(address)?;
        let Code::File { id, offset } = mapping.code else { return None };
        Some((id, files.get(id)?.address(address - mapping.range.start + offset)?))
    }

    /// The addresses of a stack's frames, the innermost first.
    pub fn unwind(
        &self,
        registers: &Registers,
        top: Top<'_>,
        files: &mut Files,
        cache: &mut Cache,
    ) -> (Vec<u64>, Ended) {
        let mut frame = FrameAddress::from_instruction_pointer(registers.ip);
        let mut registers = native(registers);
        let mut addresses = Vec::new();
        loop {
            // A return address is that of the next instruction, which may belong to another function.
            let address = frame.address_for_lookup();
            addresses.push(address);
            let at = self.in_file(address, files);
            let caller = match files.step(at, frame, &mut registers, cache, &mut |address| top.word(address))
            {
                Ok(Some(_)) if addresses.len() >= MAX_FRAMES => return (addresses, Ended::TooLong),
                Ok(Some(caller)) => FrameAddress::from_return_address(caller),
                Ok(None) => return (addresses, Ended::Complete),
                Err(framehop::Error::CouldNotReadStack(address))
                    if address >= top.end().saturating_sub(8) =>
                {
                    return (addresses, Ended::TooLong);
                }
                Err(_) => None,
            };
            let Some(caller) = caller else { return (addresses, Ended::NoWay) };
            frame = caller;
        }
    }
}

fn open_stat(proc: &Path, pid: u32) -> io::Result<File> {
    File::open(proc.join(format!("{pid}/stat")))
}

/// Longer than any.
const MAX_STAT: usize = 2048;

/// What a process runs, and its name.
fn look(stat: &File, pid: u32) -> io::Result<(Image, Arc<str>)> {
    let mut text = [0; MAX_STAT];
    let length = stat.read_at(&mut text, 0)?;
    let stat = &text[..length];
    let parse = || {
        let (open, close) =
            (stat.iter().position(|byte| *byte == b'(')?, stat.iter().rposition(|byte| *byte == b')')?);
        let name = String::from_utf8_lossy(stat.get(open + 1..close)?).into();
        // From the third on; see proc_pid_stat(5).
        let fields: Vec<&[u8]> = stat[close..].split(|byte| *byte == b' ').skip(1).collect();
        let (started, code, stack) = (fields.get(22 - 3)?, fields.get(26 - 3)?, fields.get(28 - 3)?);
        Some((Image { pid, hash: crc32fast::hash(&[*started, *code, *stack].join(&b' ')) }, name))
    };
    parse().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(target_arch = "x86_64")]
fn native(registers: &Registers) -> framehop::x86_64::UnwindRegsX86_64 {
    framehop::x86_64::UnwindRegsX86_64::new(registers.ip, registers.sp, registers.fp)
}

#[cfg(target_arch = "aarch64")]
fn native(registers: &Registers) -> framehop::aarch64::UnwindRegsAarch64 {
    use framehop::aarch64::{PtrAuthMask, UnwindRegsAarch64};
    // User addresses have 48 bits; return addresses may be signed above them.
    UnwindRegsAarch64::new_with_ptr_auth_mask(
        PtrAuthMask((1 << 48) - 1),
        registers.lr,
        registers.sp,
        registers.fp,
    )
}

/// Opens what is mapped: by the mapping itself, which is right whatever became of the path, or else by the path as the
/// process sees it.
fn open(folder: &Path, line: &Line<'_>, path: &Path) -> Option<File> {
    let mapping = folder.join(format!("map_files/{:x}-{:x}", line.range.start, line.range.end));
    if let Ok(file) = File::open(mapping) {
        return Some(file);
    }
    let path = path.strip_prefix("/").ok()?;
    // A path may name a pipe by now, on which opening would wait.
    let file = rustix::fs::open(
        folder.join("root").join(path),
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let file = File::from(file.ok()?);
    let is_same = rustix::fs::fstat(&file).is_ok_and(|stat| stat.st_ino == line.inode);
    is_same.then_some(file)
}

/// A line of `/proc/PID/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    range: Range<u64>,
    is_code: bool,
    offset: u64,
    inode: u64,
    /// Of a file; neither of anonymous memory nor of what the kernel provides.
    path: Option<&'a Path>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let mut field = || std::str::from_utf8(fields.next()?).ok();
        let (start, end) = field()?.split_once('-')?;
        let permissions = field()?;
        let offset = u64::from_str_radix(field()?, 16).ok()?;
        let _device = field()?;
        let inode = field()?.parse().ok()?;
        let path = fields.next().unwrap_or_default().trim_ascii_start();
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        Some(Self {
            range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
            is_code: permissions.as_bytes().get(2) == Some(&b'x'),
            offset,
            inode,
            path: path.starts_with(b"/").then(|| Path::new(std::ffi::OsStr::from_bytes(path))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_read() {
        let line = b"7f00aa000000-7f00aa021000 r-xp 00026000 fe:00 1234                       /usr/lib/a b.so (deleted)";
        let line = Line::parse(line).unwrap();
        assert_eq!(line.range, 0x7f00_aa00_0000..0x7f00_aa02_1000);
        assert_eq!((line.is_code, line.offset, line.inode), (true, 0x26000, 1234));
        assert_eq!(line.path, Some(Path::new("/usr/lib/a b.so")));
        let heap = Line::parse(b"55d000000000-55d000021000 rwxp 00000000 00:00 0      [heap]").unwrap();
        assert_eq!((heap.is_code, heap.path), (true, None));
        assert!(Line::parse(b"").is_none());
        assert!(Line::parse(b"zz-yy r-xp 0 0 0").is_none());
    }

    #[test]
    fn a_stack_is_read_within_what_there_is() {
        let bytes: Vec<u8> = (0..PAGE).map(|n| n as u8).collect();
        let top = Top::new(0x1010, &bytes);
        assert_eq!(top.word(0x1000), Ok(u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7])));
        assert_eq!(top.word(0xfff), Err(()));
        assert!(top.word(0x1ff8).is_ok());
        assert_eq!(top.word(0x1ff9), Err(()));
    }
}
