//! Reads the kernel's own types (BTF) where they lie: parsed into structs, they would take ten times the memory, most of
//! which nobody asks for. The format: Documentation/bpf/btf.rst of the kernel.

use std::hash::{DefaultHasher, Hash, Hasher};

const MAGIC: u16 = 0xeb9f;
/// Of a type: name, kind and length, size or type.
const HEAD: usize = 12;
/// Deeper nesting is not the kernel's.
const MAX_DEPTH: u32 = 16;

const PTR: u32 = 2;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FORWARD: u32 = 7;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC_PROTO: u32 = 13;
const TYPE_TAG: u32 = 18;

pub(super) struct Types {
    bytes: Vec<u8>,
    /// Start of the strings in `bytes`, and their end.
    strings: (usize, usize),
    /// Where each type starts, by its ID. 0 is `void`, which has no entry.
    places: Vec<u32>,
    /// Hash of the name, and ID, of structs, enumerations and typedefs; sorted.
    named: Vec<(u32, u32)>,
}

/// A type's head.
#[derive(Debug, Clone, Copy)]
struct Type {
    /// Where what follows it is.
    rest: usize,
    name: u32,
    kind: u32,
    flag: bool,
    length: usize,
    /// Of a pointer, typedef or qualifier.
    of: u32,
}

impl Types {
    /// `None` if the bytes are no type information.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        if bytes.get(..2)? != MAGIC.to_ne_bytes() {
            return None;
        }
        let field = |at| Some(word(&bytes, at)? as usize);
        let header = field(4)?;
        let (types, end) = (header + field(8)?, header + field(8)? + field(12)?);
        let strings = (header + field(16)?, header + field(16)? + field(20)?);
        if end > bytes.len() || strings.1 > bytes.len() {
            return None;
        }
        let mut this = Self { bytes, strings, places: vec![0], named: Vec::new() };
        let mut at = types;
        while at < end {
            let of = this.type_at(at)?;
            let id = u32::try_from(this.places.len()).ok()?;
            this.places.push(u32::try_from(at).ok()?);
            if matches!(of.kind, STRUCT | ENUM | TYPEDEF) && of.name != 0 {
                let hash = hash(this.string(of.name)?);
                this.named.push((hash, id));
            }
            at = of.rest + following(of.kind, of.length)?;
        }
        this.named.sort_unstable();
        this.named.shrink_to_fit();
        this.places.shrink_to_fit();
        Some(this)
    }

    /// The byte offset of a member such as `se.cfs_rq`, through anonymous structs and unions.
    pub(super) fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        self.ids(structure).find_map(|id| {
            let mut at = (0, id);
            for name in path.split('.') {
                let (bits, of) = self.member(at.1, name, MAX_DEPTH)?;
                at = (at.0 + bits, of);
            }
            Some(at.0 / 8)
        })
    }

    /// A member's offset in bits, and its type.
    fn member(&self, structure: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let depth = depth.checked_sub(1)?;
        let of = self.bare(structure)?;
        if !matches!(of.kind, STRUCT | UNION) {
            return None;
        }
        (0..of.length).find_map(|n| {
            let at = of.rest + n * 12;
            let (own, member, offset) = (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            // With the flag, the upper bits are the size of a bit field.
            let bits = if of.flag { offset & 0x00ff_ffff } else { offset };
            match own {
                0 => self.member(member, name, depth).map(|(inner, of)| (bits + inner, of)),
                own => (self.string(own)? == name).then_some((bits, member)),
            }
        })
    }

    /// The value of a member of an enumeration.
    pub(super) fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        self.ids(enumeration).find_map(|id| {
            let of = self.get(id).filter(|of| of.kind == ENUM)?;
            (0..of.length).find_map(|n| {
                let at = of.rest + n * 8;
                let known = self.string(self.word(at)?)?;
                // Negative ones are of no use as an index.
                (known == name)
                    .then(|| self.word(at + 4))
                    .flatten()
                    .filter(|value| i32::try_from(*value).is_ok())
            })
        })
    }

    /// A tracepoint's arguments: the struct that each points to, if any. `None` if there is no such tracepoint.
    pub(super) fn arguments(&self, tracepoint: &str) -> Option<Vec<Option<String>>> {
        let prototype = self
            .ids(&format!("btf_trace_{tracepoint}"))
            .find_map(|id| self.pointee(id).filter(|of| of.kind == FUNC_PROTO))?;
        let structure = |parameter: u32| {
            let of = self.pointee(parameter).filter(|of| of.kind == STRUCT && of.name != 0)?;
            self.string(of.name).map(str::to_owned)
        };
        // The first parameter is the kernel's own; programs do not see it.
        Some((1..prototype.length).map(|n| structure(self.word(prototype.rest + n * 8 + 4)?)).collect())
    }

    /// The same number of types in the same order, of which only the tracepoints' typedefs have their names: all that is
    /// needed for attaching to one.
    pub(super) fn tracepoints(&self) -> Vec<u8> {
        let mut types = Vec::with_capacity(self.places.len() * HEAD);
        let mut strings = vec![0];
        for id in 1..self.places.len() as u32 {
            let name = self.get(id).filter(|of| of.kind == TYPEDEF).and_then(|of| self.string(of.name));
            let (name, kind) = match name.filter(|name| name.starts_with("btf_trace_")) {
                Some(name) => {
                    let at = strings.len() as u32;
                    strings.extend_from_slice(name.as_bytes());
                    strings.push(0);
                    (at, TYPEDEF)
                }
                None => (0, FORWARD),
            };
            for word in [name, kind << 24, 0] {
                types.extend_from_slice(&word.to_ne_bytes());
            }
        }
        let (length, of_strings) = (types.len() as u32, strings.len() as u32);
        let mut all = Vec::with_capacity(24 + types.len() + strings.len());
        all.extend_from_slice(&MAGIC.to_ne_bytes());
        all.extend_from_slice(&[1, 0]);
        for word in [24, 0, length, length, of_strings] {
            all.extend_from_slice(&word.to_ne_bytes());
        }
        all.extend_from_slice(&types);
        all.extend_from_slice(&strings);
        all
    }

    /// Several types may have one name.
    fn ids(&self, name: &str) -> impl Iterator<Item = u32> {
        let hash = hash(name);
        let from = self.named.partition_point(|(known, _)| *known < hash);
        let same = self.named[from..].iter().take_while(move |(known, _)| *known == hash);
        same.map(|(_, id)| *id).filter(move |id| {
            self.get(*id).and_then(|of| self.string(of.name)).is_some_and(|known| known == name)
        })
    }

    /// What a pointer points to.
    fn pointee(&self, pointer: u32) -> Option<Type> {
        self.bare(pointer).filter(|of| of.kind == PTR).and_then(|pointer| self.bare(pointer.of))
    }

    /// The type behind typedefs and qualifiers.
    fn bare(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let of = self.get(id)?;
            match of.kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = of.of,
                _ => return Some(of),
            }
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type> {
        let place = *self.places.get(id as usize).filter(|_| id > 0)?;
        self.type_at(place as usize)
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let info = self.word(at + 4)?;
        Some(Type {
            rest: at + HEAD,
            name: self.word(at)?,
            kind: info >> 24 & 0x1f,
            flag: info >> 31 == 1,
            length: (info & 0xffff) as usize,
            of: self.word(at + 8)?,
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        word(&self.bytes, at)
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let from = self.strings.0.checked_add(offset as usize)?;
        let rest = self.bytes.get(from..self.strings.1)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

/// Bytes that follow a type's head; `None` for a kind that is not known, whose length isn't either.
fn following(kind: u32, length: usize) -> Option<usize> {
    Some(match kind {
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structs, unions, sections, 64-bit enumerations.
        STRUCT | UNION | 15 | 19 => length * 12,
        ENUM | FUNC_PROTO => length * 8,
        // Functions and floating-point numbers among them.
        PTR | FORWARD | TYPEDEF | VOLATILE | CONST | RESTRICT | 12 | 16 | TYPE_TAG => 0,
        _ => return None,
    })
}

fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Builds type information by hand.
    #[derive(Default)]
    struct Built {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Built {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend_from_slice(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn add(&mut self, name: &str, info: u32, of: u32, rest: &[u32]) -> u32 {
            let name = self.name(name);
            for word in [name, info, of].iter().chain(rest) {
                self.types.extend_from_slice(&word.to_ne_bytes());
            }
            self.count += 1;
            self.count
        }

        fn finish(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut all = MAGIC.to_ne_bytes().to_vec();
            all.extend_from_slice(&[1, 0]);
            for word in [24, 0, types, types, strings] {
                all.extend_from_slice(&word.to_ne_bytes());
            }
            all.extend_from_slice(&self.types);
            all.extend_from_slice(&self.strings);
            all
        }
    }

    fn sample() -> Vec<u8> {
        let mut built = Built::default();
        let int = built.add("int", 1 << 24, 4, &[0x0100_0020]);
        let [x, y, z, a, flags] = ["x", "y", "z", "a", "flags"].map(|name| built.name(name));
        let inner = built.add("", STRUCT << 24 | 2, 8, &[x, int, 0, y, int, 32]);
        let union = built.add("", UNION << 24 | 2, 8, &[z, int, 0, 0, inner, 0]);
        let named = built.add("inner", STRUCT << 24 | 1, 4, &[a, int, 16]);
        let constant = built.add("", CONST << 24, named, &[]);
        // A bit field, an anonymous union, and a struct behind a qualifier.
        let members = [flags, int, 3 << 24 | 5, 0, union, 64, built.name("deep"), constant, 128];
        let outer = built.add("outer", 1 << 31 | STRUCT << 24 | 3, 24, &members);
        built.add("outer", TYPEDEF << 24, outer, &[]);
        let (one, two) = (built.name("ONE"), built.name("TWO"));
        built.add("number", ENUM << 24 | 2, 4, &[one, 1, two, u32::MAX]);
        let pointer = built.add("", PTR << 24, outer, &[]);
        let prototype = built.add("", FUNC_PROTO << 24 | 3, 0, &[0, int, 0, pointer, 0, int]);
        let hook = built.add("", PTR << 24, prototype, &[]);
        built.add("btf_trace_happened", TYPEDEF << 24, hook, &[]);
        built.finish()
    }

    #[test]
    fn members_enumerators_and_arguments_are_found() {
        let types = Types::new(sample()).unwrap();
        let offset = |path| types.offset("outer", path);
        assert_eq!(
            (offset("flags"), offset("z"), offset("x"), offset("y"), offset("deep.a")),
            (Some(0), Some(8), Some(8), Some(12), Some(18))
        );
        assert_eq!((offset("deep.b"), offset("q"), types.offset("no", "x")), (None, None, None));
        assert_eq!(types.enumerator("number", "ONE"), Some(1));
        assert_eq!((types.enumerator("number", "TWO"), types.enumerator("number", "THREE")), (None, None));
        assert_eq!(types.arguments("happened"), Some(vec![Some("outer".to_owned()), None]));
        assert_eq!(types.arguments("outer"), None);
    }

    #[test]
    fn what_attaching_needs_keeps_its_ids() {
        let types = Types::new(sample()).unwrap();
        let fewer = Types::new(types.tracepoints()).unwrap();
        assert_eq!(fewer.places.len(), types.places.len());
        let id = |types: &Types| types.ids("btf_trace_happened").next();
        assert_eq!(id(&fewer), id(&types));
        assert!(id(&fewer).is_some() && fewer.ids("outer").next().is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(cut in 0usize..500, at in 0usize..500, byte: u8) {
            let mut bytes = sample();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length.saturating_sub(cut % length));
            if let Some(types) = Types::new(bytes) {
                let _ = (types.offset("outer", "deep.a"), types.enumerator("number", "ONE"));
                let _ = (types.arguments("happened"), types.tracepoints());
            }
        }
    }
}
