//! One snapshot in a file of the spool: length and CRC-32 of the rest, then its rows, deflated.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::snapshot::MetricType;
use crate::store::{Row, from_micros, micros};

/// Bytes before the deflated rows.
pub(super) const HEAD: usize = 8;
/// A record that claims more is damaged.
const LONGEST: u32 = 64 << 20;

/// Bytes in a block of DEFLATE that is stored as it is, at most.
const LONGEST_BLOCK: usize = u16::MAX as usize;

pub(super) fn encode(rows: &[Row]) -> Vec<u8> {
    let mut out = DeflateEncoder::new(vec![0; HEAD], Compression::fast());
    let written = write_rows(rows, &mut out);
    let mut record = written.and_then(|()| out.finish()).expect("writing to memory does not fail");
    finish(&mut record);
    record
}

/// Likewise, without the time that compressing takes: for what is soon removed again. Replaces what is in `record`.
pub(super) fn encode_plain(rows: &[Row], record: &mut Vec<u8>) {
    record.clear();
    record.resize(HEAD, 0);
    let mut blocks = Blocks::open(record);
    write_rows(rows, &mut blocks).expect("writing to memory does not fail");
    blocks.close(true);
    finish(record);
}

/// DEFLATE that compresses nothing: blocks behind what is in the record. RFC 1951, 3.2.4.
struct Blocks<'a> {
    record: &'a mut Vec<u8>,
    /// Where the open block's content begins.
    start: usize,
}

impl<'a> Blocks<'a> {
    /// Whether it is the last, the length, and its complement.
    const HEAD: usize = 5;

    fn open(record: &'a mut Vec<u8>) -> Self {
        record.extend_from_slice(&[0; Self::HEAD]);
        Self { start: record.len(), record }
    }

    fn close(&mut self, last: bool) {
        let length = u16::try_from(self.record.len() - self.start).expect("none is written longer");
        let [low, high] = length.to_le_bytes();
        let head = [u8::from(last), low, high, !low, !high];
        self.record[self.start - Self::HEAD..self.start].copy_from_slice(&head);
    }
}

impl Write for Blocks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = LONGEST_BLOCK - (self.record.len() - self.start);
        if room == 0 {
            self.close(false);
            self.record.extend_from_slice(&[0; Self::HEAD]);
            self.start = self.record.len();
            room = LONGEST_BLOCK;
        }
        let fitting = &bytes[..bytes.len().min(room)];
        self.record.extend_from_slice(fitting);
        Ok(fitting.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_rows(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    rows.iter().try_for_each(|row| {
        let name = row.metric_type.as_str().as_bytes();
        out.write_all(&micros(row.timestamp).to_le_bytes())?;
        for part in [name, &row.json[..]] {
            out.write_all(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes())?;
            out.write_all(part)?;
        }
        Ok(())
    })
}

/// Fills in the head.
fn finish(record: &mut [u8]) {
    let body = &record[HEAD..];
    let length = u32::try_from(body.len()).expect("a snapshot is far below 4 GB");
    let checksum = crc(body);
    record[..4].copy_from_slice(&length.to_le_bytes());
    record[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
}

#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub rows: Vec<Row>,
    pub records: u64,
    /// From the beginning to the end of the last whole record.
    pub bytes: usize,
}

/// Reads whole, undamaged records from the beginning of `bytes`, at most `limit`.
pub(super) fn decode(bytes: &[u8], limit: usize) -> Chunk {
    let mut chunk = Chunk::default();
    while chunk.records < limit as u64
        && let Some(body) = body(&bytes[chunk.bytes..])
        && read_rows(body, &mut chunk.rows).is_ok()
    {
        chunk.records += 1;
        chunk.bytes += HEAD + body.len();
    }
    chunk
}

/// Whole, undamaged records in a file and the bytes they take.
pub(super) fn measure(mut file: impl Read) -> io::Result<(u64, u64)> {
    let (mut records, mut bytes) = (0, 0);
    let mut record = Vec::new();
    loop {
        record.resize(HEAD, 0);
        match file.read_exact(&mut record) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(e),
        }
        let length = word(&record[..4]);
        if length > LONGEST {
            break;
        }
        (&mut file).take(u64::from(length)).read_to_end(&mut record)?;
        if body(&record).is_none() {
            break;
        }
        records += 1;
        bytes += record.len() as u64;
    }
    Ok((records, bytes))
}

/// The deflated rows of the record at the beginning of `bytes`.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = usize::try_from(word(&head[..4])).ok()?;
    let body = rest.get(..length)?;
    (crc(body) == word(&head[4..])).then_some(body)
}

fn read_rows(body: &[u8], rows: &mut Vec<Row>) -> io::Result<()> {
    let mut plain = Vec::with_capacity(body.len() * 6);
    DeflateDecoder::new(body).read_to_end(&mut plain)?;
    let plain = Bytes::from(plain);
    let mut at = 0;
    let mut take = |length: usize| {
        let part = at..at + length;
        at += length;
        (part.end <= plain.len()).then(|| plain.slice(part)).ok_or(io::ErrorKind::InvalidData)
    };
    loop {
        let Ok(time) = take(8) else { return Ok(()) };
        let time = i64::from_le_bytes(time[..].try_into().map_err(io::Error::other)?);
        let length = word(&take(4)?) as usize;
        let name = take(length)?;
        let length = word(&take(4)?) as usize;
        let json = take(length)?;
        // A type of a newer version, left behind by a downgrade, has no place to go.
        if let Some(metric_type) = std::str::from_utf8(&name).ok().and_then(MetricType::parse) {
            rows.push(Row { timestamp: from_micros(time), metric_type, json });
        }
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b))
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
