//! The kernel's symbols, as `/proc/kallsyms` lists them: more than a hundred thousand, in a few bytes each besides their
//! names.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

#[derive(Debug, Default)]
pub struct KernelSymbols {
    /// One after the other.
    names: String,
    /// Sorted by address.
    symbols: Vec<Symbol>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    address: u64,
    /// Where its name is.
    from: u32,
    length: u32,
}

impl KernelSymbols {
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut all = Self::default();
        let mut file = BufReader::new(File::open(path)?);
        let mut line = String::new();
        while file.read_line(&mut line)? > 0 {
            all.add(&line);
            line.clear();
        }
        all.symbols.shrink_to_fit();
        all.names.shrink_to_fit();
        // Of several at one address, the first remains the first.
        all.symbols.sort_by_key(|symbol| symbol.address);
        Ok(all)
    }

    fn add(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split_ascii_whitespace();
        let address = u64::from_str_radix(fields.next()?, 16).ok()?;
        let name = fields.nth(1)?;
        // Whoever may not see addresses is shown zeros.
        if address > 0 {
            let (from, length) = (u32::try_from(self.names.len()).ok()?, u32::try_from(name.len()).ok()?);
            self.names.push_str(name);
            self.symbols.push(Symbol { address, from, length });
        }
        Some(())
    }

    /// The name of what is at an address.
    pub fn name(&self, address: u64) -> Option<&str> {
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        let start = self.symbols.get(after.checked_sub(1)?)?.address;
        let first = self.symbols.partition_point(|symbol| symbol.address < start);
        let Symbol { from, length, .. } = *self.symbols.get(first)?;
        self.names.get(from as usize..(from + length) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_symbol_before_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let list = "0000000000000000 A hidden\n\
            ffffffff81000200 T second\t[module]\n\
            ffffffff81000100 T first\n\
            ffffffff81000100 t alias\n\
            no symbol\n";
        std::fs::write(file.path(), list).unwrap();
        let symbols = KernelSymbols::read(file.path()).unwrap();
        let names = [0x0ff, 0x100, 0x1ff, 0x200, 0x999].map(|at| symbols.name(0xffff_ffff_8100_0000 + at));
        assert_eq!(names, [None, Some("first"), Some("first"), Some("second"), Some("second")]);
        assert!(KernelSymbols::read(Path::new("/nonexistent")).is_err());
    }
}
